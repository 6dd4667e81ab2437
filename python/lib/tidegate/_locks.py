"""Locks, semaphores, conditions and events, with the interface of multiprocessing's."""

import os
import time
from collections.abc import Callable
from multiprocessing import reduction
from multiprocessing.context import assert_spawning
from typing import Any, Literal, Self

from tidegate import _tidegate
from tidegate._tidegate import PeerDied

PeerDeath = Literal["raise", "count"]
_TOKENS_MAX = 2**31 - 1


def _rebuild(cls: Any, memory: Any, attributes: dict[str, Any]) -> Any:
    descriptor = memory.detach()
    new = cls.__new__(cls)
    new.__dict__.update(attributes)
    try:
        new._attach(descriptor)
    finally:
        os.close(descriptor)
    return new


class _Lent:
    """What goes to a child when that is started, and nowhere else."""

    def _attach(self, memory: int | None) -> None:
        self._open(memory)  # type: ignore[attr-defined]

    def __reduce__(self) -> tuple[Any, ...]:
        assert_spawning(self)
        return _rebuild, (type(self), reduction.DupFd(self._memory()), self.__dict__)  # type: ignore[attr-defined]


class _Tokens(_Lent, _tidegate.Tokens):
    def __init__(self, kind: str, tokens: int, most: int, peer_death: PeerDeath) -> None:
        self._options = kind, tokens, most, peer_death
        self._attach(None)

    def _attach(self, memory: int | None) -> None:
        self._open(*self._options, memory)

    @property
    def _semlock(self) -> Self:
        # Parts of multiprocessing look there at a lock.
        return self

    def __repr__(self) -> str:
        return f"<tidegate.{type(self).__name__}, value={self._get_value()}>"


class Lock(_Tokens):
    """A lock, which any thread of any process may release.

    Where a process goes with the lock, the next that acquires it raises :class:`PeerDied`, with its pid, and does not have it:
    the lock is free then, and what it guards may be half done. With ``peer_death="count"`` it has it, and the death is only counted
    in :attr:`peers_died`.
    """

    def __init__(self, *, ctx: object = None, peer_death: PeerDeath = "raise") -> None:
        super().__init__("lock", 1, 1, peer_death)

    def locked(self) -> bool:
        """Whether somebody has it."""
        return self._is_zero()


class RLock(_Tokens):
    """A lock that the thread that has it may acquire again, and releases as often. Deaths are told as by :class:`Lock`."""

    def __init__(self, *, ctx: object = None, peer_death: PeerDeath = "raise") -> None:
        super().__init__("rlock", 1, 1, peer_death)

    def locked(self) -> bool:
        """Whether somebody has it."""
        return self._is_zero()


class Semaphore(_Tokens):
    """A semaphore: ``release`` adds one to what ``acquire`` takes from. Nobody owns what it took, and none comes back from the dead."""

    def __init__(self, value: int = 1, *, ctx: object = None) -> None:
        super().__init__("semaphore", value, _TOKENS_MAX, "count")

    def get_value(self) -> int:
        """How often it can be acquired now."""
        return self._get_value()


class BoundedSemaphore(_Tokens):
    """A semaphore that is not released beyond its first value. One of 1 is a lock, and tells of deaths as :class:`Lock` does."""

    def __init__(self, value: int = 1, *, ctx: object = None, peer_death: PeerDeath = "raise") -> None:
        super().__init__("semaphore", value, value, peer_death)

    def get_value(self) -> int:
        """How often it can be acquired now."""
        return self._get_value()


class Condition(_Lent, _tidegate.Waiters):
    """A condition, with a lock of its own if none is given. Those who wait are notified in the order they came; the dead are not."""

    def __init__(self, lock: Any = None, *, ctx: object = None, peer_death: PeerDeath = "raise") -> None:
        self._lock = RLock(peer_death=peer_death) if lock is None else lock
        self._attach(None)

    def acquire(self, block: bool = True, timeout: float | None = None) -> bool:
        """Acquires the lock."""
        return self._lock.acquire(block, timeout)

    def release(self) -> None:
        """Releases the lock."""
        self._lock.release()

    def __enter__(self) -> bool:
        return self._lock.__enter__()

    def __exit__(self, *error: object) -> None:
        self._lock.__exit__(*error)

    def _check_held(self, call: str) -> None:
        if not self._lock._semlock._is_mine():
            raise AssertionError(f"the condition's lock must be acquired before {call}()")

    def wait(self, timeout: float | None = None) -> bool:
        """Lets the lock go, and has it again when notified, or when ``timeout`` seconds are over. Whether it was notified."""
        self._check_held("wait")
        times = self._lock._semlock._count()
        waiter = self._enter()
        for _ in range(times):
            self._lock.release()
        try:
            waiter.wait(timeout)
        finally:
            self._acquire_again(times)
            is_notified = waiter.leave()
        return is_notified

    def _acquire_again(self, times: int) -> None:
        untold: BaseException | None = None
        # Asked each time: an interrupt may come between having it and counting that.
        while self._lock._semlock._count() < times:
            try:
                self._lock.acquire()
            # Whatever comes is told when the lock is had, as who waits expects to have it.
            except (PeerDied, KeyboardInterrupt) as error:
                untold = error
        if untold is not None:
            raise untold

    def wait_for(self, predicate: Callable[[], Any], timeout: float | None = None) -> Any:
        """Waits until ``predicate()`` is true, or ``timeout`` seconds are over. What it was last."""
        until = None if timeout is None else time.monotonic() + timeout
        result = predicate()
        while not result:
            left = None if until is None else until - time.monotonic()
            if left is not None and left <= 0:
                break
            self.wait(left)
            result = predicate()
        return result

    def notify(self, n: int = 1) -> None:
        """Wakes up to ``n`` of those who wait, the longest first."""
        self._check_held("notify")
        self._notify(n)

    def notify_all(self) -> None:
        """Wakes all who wait."""
        self.notify(_TOKENS_MAX)

    def __repr__(self) -> str:
        return f"<tidegate.Condition of {self._lock!r}>"


class Event(_Lent, _tidegate.Flag):
    """A flag that is set, cleared and waited for. Who waits when it is set is told, also when it is cleared at once."""

    def __init__(self, *, ctx: object = None) -> None:
        self._attach(None)

    def __repr__(self) -> str:
        return f"<{type(self).__qualname__} at {id(self):#x} {'set' if self.is_set() else 'unset'}>"
