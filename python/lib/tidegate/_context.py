"""Tidegate's queues in place of multiprocessing's, in a program that is not to be changed."""

import multiprocessing
from multiprocessing.context import BaseContext, _default_context
from typing import Any

from tidegate import _locks, _queues

# Not SimpleQueue: pools of processes use the pipe that multiprocessing's is made of.
_CLASSES: dict[str, Any] = {
    "Queue": _queues.Queue,
    "JoinableQueue": _queues.JoinableQueue,
    "Lock": _locks.Lock,
    "RLock": _locks.RLock,
    "Semaphore": _locks.Semaphore,
    "BoundedSemaphore": _locks.BoundedSemaphore,
    "Condition": _locks.Condition,
    "Event": _locks.Event,
}
_originals: dict[str, Any] = {}


def _method(cls: Any) -> Any:
    return lambda self, *args, **named: cls(*args, ctx=self.get_context(), **named)


def patch() -> None:
    """Has ``multiprocessing.Queue()``, ``Lock()`` and so on, also of contexts, make Tidegate's from now on.

    ``SimpleQueue`` stays, of which pools are made, and so do ``Pipe``, ``Barrier``, ``Value`` and ``Array``.
    """
    for name, cls in _CLASSES.items():
        if name not in _originals:
            _originals[name] = getattr(BaseContext, name)
            setattr(BaseContext, name, _method(cls))
            setattr(multiprocessing, name, getattr(_default_context, name))


def unpatch() -> None:
    """Takes :func:`patch` back."""
    while _originals:
        name, original = _originals.popitem()
        setattr(BaseContext, name, original)
        setattr(multiprocessing, name, getattr(_default_context, name))
