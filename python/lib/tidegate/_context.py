"""Tidegate's queues in place of multiprocessing's, in a program that is not to be changed."""

import multiprocessing
from multiprocessing.context import BaseContext
from typing import Any

from tidegate import _queues

# Not SimpleQueue: pools of processes use the pipe that multiprocessing's is made of.
_NAMES = ("Queue", "JoinableQueue")
_originals: dict[str, Any] = {}


def _method(cls: Any) -> Any:
    return lambda self, maxsize=0: cls(maxsize, ctx=self.get_context())


def patch() -> None:
    """Has ``multiprocessing.Queue()`` and ``JoinableQueue()``, also of contexts, make Tidegate's from now on."""
    for name in _NAMES:
        if name not in _originals:
            _originals[name] = getattr(BaseContext, name)
            setattr(BaseContext, name, _method(getattr(_queues, name)))
            setattr(multiprocessing, name, getattr(multiprocessing.context._default_context, name))


def unpatch() -> None:
    """Takes :func:`patch` back."""
    while _originals:
        name, original = _originals.popitem()
        setattr(BaseContext, name, original)
        setattr(multiprocessing, name, getattr(multiprocessing.context._default_context, name))
