"""The queues, with the interface of multiprocessing's."""

import json
import multiprocessing
import os
from collections.abc import Iterator
from multiprocessing import context, reduction
from typing import Any, Generic, Literal, TypeVar

from tidegate import _pickle, _process, _tidegate

T = TypeVar("T")
Profile = Literal["latency", "balanced", "efficient"]
PeerDeath = Literal["raise", "count"]


class Queue(_tidegate.Queue, Generic[T]):
    """A queue: any process that has it puts, and any gets.

    Without a ``maxsize`` it grows where nobody gets, up to 256 MiB for each process that puts, and to 256 objects that take more
    than 16 KiB; then ``put`` waits. At most 64 processes put and 16 get at a time. Objects of one process are got in the order
    they were put; those of several interleave.

    What ``put`` returned from is in shared memory: it is got once, whatever becomes of the process that put it. The death of a
    process at the other end raises :class:`PeerDied` once, with its pid, or is only counted (``peer_death="count"``,
    :attr:`peers_died`).

    ``profile`` says what costs what to the controller that tunes the queue: ``latency``, ``balanced`` or ``efficient``.
    """

    def __new__(
        cls,
        maxsize: int = 0,
        *,
        ctx: object = None,
        profile: Profile = "balanced",
        peer_death: PeerDeath = "raise",
        memory: tuple[int, int | None] | None = None,
    ) -> "Queue[T]":
        return super().__new__(
            cls,
            maxsize,
            dumps=_pickle.dumps,
            loads=_pickle.loads,
            profile=profile,
            peer_death=peer_death,
            memory=memory,
        )

    def __init__(
        self,
        maxsize: int = 0,
        *,
        ctx: object = None,
        profile: Profile = "balanced",
        peer_death: PeerDeath = "raise",
        memory: tuple[int, int | None] | None = None,
    ) -> None:
        self._options: dict[str, Any] = {"profile": profile, "peer_death": peer_death}
        self._name = f"queue-{os.getpid()}-{id(self):x}"
        _process.register(self)
        if memory is None:
            self.control(self._name)

    def __reduce__(self) -> tuple[Any, ...]:
        context.assert_spawning(self)
        channel, room = self.memory()
        memory = (reduction.DupFd(channel), None if room is None else reduction.DupFd(room))
        return _rebuild, (type(self), self.maxsize, memory, self._options, self._state())

    def _state(self) -> object:
        return None

    def _restore(self, state: object) -> None:
        pass

    def join_thread(self) -> None:
        """Waits for nothing: what was put is in the queue already."""
        if not self.closed:
            raise ValueError("the queue is not closed")

    def cancel_join_thread(self) -> None:
        """Has nothing to cancel: see :meth:`join_thread`."""

    def decisions(self) -> list[dict[str, Any]]:
        """What the controller of this process has decided, oldest first; see ``Decision`` in the documentation of the crate."""
        return [json.loads(line) for line in self.decision_lines()]

    def __iter__(self) -> Iterator[T]:
        while True:
            yield self.get()

    def __enter__(self) -> "Queue[T]":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self.closed else f"{self.qsize()} in it"
        return f"<{type(self).__module__}.{type(self).__name__}, {state}>"


def _rebuild(cls: type[Queue[Any]], maxsize: int, memory: tuple[Any, Any], options: dict[str, Any], state: object) -> Queue[Any]:
    channel, room = memory
    own = (channel.detach(), None if room is None else room.detach())
    try:
        queue = cls(maxsize, memory=own, **options)
    finally:
        for descriptor in own:
            if descriptor is not None:
                os.close(descriptor)
    queue._restore(state)
    return queue


class JoinableQueue(Queue[T]):
    """A queue that knows how many of its objects are not done with."""

    def __init__(self, maxsize: int = 0, *, ctx: Any = None, **options: Any) -> None:
        super().__init__(maxsize, ctx=ctx, **options)
        if options.get("memory") is None:
            ctx = ctx or multiprocessing.get_context()
            self._restore((ctx.Semaphore(0), ctx.Condition()))

    def _state(self) -> object:
        return self._unfinished, self._all_done

    def _restore(self, state: Any) -> None:
        self._unfinished, self._all_done = state

    def put(self, obj: T, block: bool = True, timeout: float | None = None) -> None:
        # In one step for those who join: what is put is not done with.
        with self._all_done:
            super().put(obj, block, timeout)
            self._unfinished.release()

    def put_nowait(self, obj: T) -> None:
        self.put(obj, False)

    def put_many(self, objects: Any, block: bool = True, timeout: float | None = None) -> int:
        count = 0
        for obj in objects:
            self.put(obj, block, timeout)
            count += 1
        return count

    def task_done(self) -> None:
        """Says that an object is done with that was got."""
        with self._all_done:
            if not self._unfinished.acquire(False):
                raise ValueError("task_done() called too many times")
            if self._unfinished._semlock._is_zero():
                self._all_done.notify_all()

    def join(self) -> None:
        """Waits until all that was put is done with."""
        with self._all_done:
            if not self._unfinished._semlock._is_zero():
                self._all_done.wait()


class SimpleQueue(Queue[T]):
    """A queue without a bound and with little to it."""

    def __init__(self, *, ctx: object = None, **options: Any) -> None:
        super().__init__(0, ctx=ctx, **options)

    def __reduce__(self) -> tuple[Any, ...]:
        rebuild, (cls, _, memory, options, state) = super().__reduce__()
        return _rebuild_simple, (cls, memory, options, state)


def _rebuild_simple(cls: Any, memory: Any, options: Any, state: Any) -> Any:
    return _rebuild(lambda _, **kw: cls(**kw), 0, memory, options, state)  # type: ignore[arg-type]
