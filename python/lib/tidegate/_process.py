"""What happens to queues when their process forks and when it ends."""

import os
import weakref
from multiprocessing import util
from typing import Any, Protocol

from tidegate import _tidegate


class _Detachable(Protocol):
    def detach(self) -> None: ...


_live: "weakref.WeakSet[_Detachable]" = weakref.WeakSet()


def register(queue: _Detachable) -> None:
    """Has a queue detached when this process ends, so that its end does not pass for a death."""
    _live.add(queue)


def live() -> list[Any]:
    """Queues of this process."""
    return list(_live)


def _detach_all() -> None:
    for queue in list(_live):
        queue.detach()


def _detach_at_exit(_: object = None) -> None:
    # Below zero: after the children were joined, which may be putting and getting until then.
    util.Finalize(None, _detach_all, exitpriority=-100)


class _Marker:
    """Something for multiprocessing to remember: it forgets finalizers in a child, and runs these."""


_marker = _Marker()
os.register_at_fork(before=_tidegate.pin_all, after_in_child=_tidegate.forked)
# What was to be done at the parent's exit is not done at the child's.
os.register_at_fork(after_in_child=_detach_at_exit)
util.register_after_fork(_marker, _detach_at_exit)
_detach_at_exit()
