"""The queues, with the interface of multiprocessing's."""

import json
import math
import os
from collections.abc import Iterator
from multiprocessing import reduction
from multiprocessing.context import assert_spawning
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from tidegate import _process, _tidegate
from tidegate._asynchronous import Asynchronous
from tidegate._locks import Condition, PeerDeath, Semaphore

if TYPE_CHECKING:
    import numpy

T = TypeVar("T")
Profile = Literal["latency", "balanced", "efficient"]


class Queue(_tidegate.Queue, Asynchronous[T], Generic[T]):
    """A queue: any process that has it puts, and any gets.

    Without a ``maxsize`` it grows where nobody gets, up to 256 MiB for each process that puts, and to 256 objects that take more
    than 16 KiB; then ``put`` waits. An object takes up to 256 MiB. At most 64 processes put and 16 get at a time. Objects of one
    process are got in the order they were put; those of several interleave.

    What ``put`` returned from is in shared memory: it is got once, whatever becomes of the process that put it. The death of a
    process at the other end raises :class:`PeerDied` once, with its pid, or is only counted (``peer_death="count"``,
    :attr:`peers_died`).

    ``profile`` says what costs what to the controller that tunes the queue: ``latency``, ``balanced`` or ``efficient``. ``model`` is a
    file that :func:`tidegate.train` wrote, to forecast with; without it the packaged one does. One that is not proven, or damaged, is
    left alone, and a rule of thumb forecasts.
    """

    def __init__(
        self,
        maxsize: int = 0,
        *,
        ctx: object = None,
        profile: Profile = "balanced",
        peer_death: PeerDeath = "raise",
        model: "str | os.PathLike[str] | None" = None,
    ) -> None:
        path = None if model is None else os.fspath(model)
        self._attach(maxsize, profile, peer_death, path, None)
        self._control(f"queue-{os.getpid()}-{id(self):x}")

    def _attach(
        self,
        maxsize: int,
        profile: Profile,
        peer_death: PeerDeath,
        model: str | None,
        memory: tuple[int, int | None] | None,
    ) -> None:
        self._open(maxsize, profile, peer_death, model, memory)
        self._options = profile, peer_death, model
        _process.register(self)

    def __reduce__(self) -> tuple[Any, ...]:
        assert_spawning(self)
        channel, turn = self._memory()
        memory = (reduction.DupFd(channel), None if turn is None else reduction.DupFd(turn))
        return _rebuild, (type(self), self.maxsize, memory, self.__dict__)

    def _another(self) -> "Queue[T]":
        """The same queue, closed apart from this one."""
        another: Queue[T] = type(self).__new__(type(self))
        another._attach(self.maxsize, *self._options, self._memory())
        return another

    def loan(
        self, shape: int | tuple[int, ...], dtype: Any = float, *, block: bool = True, timeout: float | None = None
    ) -> "numpy.ndarray[Any, Any]":
        """An array in the queue's memory, to fill and then :meth:`put` without a copy.

        Its elements are what was there before. Once it was put it is another process's: it is read-only here, and what it shows may
        change. One that is not put is given back when it is forgotten. Waits for memory as ``block`` and ``timeout`` say, and
        raises :class:`Full`.
        """
        import numpy

        dtype = numpy.dtype(dtype)
        shape = (shape,) if isinstance(shape, int) else tuple(shape)
        if min(shape, default=0) < 0 or dtype.hasobject:
            raise ValueError(f"no array of shape {shape} and type {dtype} lies in memory of the queue")
        memory = self._loan(math.prod(shape) * dtype.itemsize, block, timeout)
        return numpy.ndarray(shape, dtype, memory)  # type: ignore[arg-type]

    def join_thread(self) -> None:
        """Waits for nothing: what was put is in the queue already."""
        if not self.closed:
            raise ValueError("the queue is not closed")

    def cancel_join_thread(self) -> None:
        """Has nothing to cancel: see :meth:`join_thread`."""

    def decisions(self) -> list[dict[str, Any]]:
        """What the controller of this process has decided, oldest first; see ``Decision`` in the documentation of the crate."""
        return [json.loads(line) for line in self._decision_lines()]

    def record(self, path: "str | os.PathLike[str]", *, tick: float = 0.001) -> _tidegate.Recording:
        """Records what the queue carries into a trace file, a sample each ``tick`` seconds, until its ``stop()`` or the end of its block.

        Such traces are what :func:`tidegate.train` learns from. Raises :class:`FileExistsError` where there is a file.

        >>> with Queue().record("busy_monday.tgtrace") as recording:  # doctest: +SKIP
        ...     work()
        """
        return _tidegate.Recording(self, os.fspath(path), tick)

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


def _rebuild(cls: type[Queue[Any]], maxsize: int, memory: tuple[Any, Any], attributes: dict[str, Any]) -> Queue[Any]:
    channel, turn = memory
    own = (channel.detach(), None if turn is None else turn.detach())
    queue = cls.__new__(cls)
    options: tuple[Profile, PeerDeath, str | None] = attributes["_options"]
    try:
        queue._attach(maxsize, *options, own)
    finally:
        for descriptor in own:
            if descriptor is not None:
                os.close(descriptor)
    queue.__dict__.update(attributes)
    return queue


class JoinableQueue(Queue[T]):
    """A queue that knows how many of its objects are not done with."""

    def __init__(self, maxsize: int = 0, *, ctx: Any = None, **options: Any) -> None:
        super().__init__(maxsize, ctx=ctx, **options)
        self._unfinished, self._all_done = Semaphore(0), Condition(peer_death="count")

    def put(self, obj: T, block: bool = True, timeout: float | None = None) -> None:
        # Counted first: who gets it may be done with it at once.
        self._unfinished.release()
        try:
            super().put(obj, block, timeout)
        except BaseException:
            self._count_down()
            raise

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
        if not self._count_down():
            raise ValueError("task_done() called too many times")

    def _count_down(self) -> bool:
        with self._all_done:
            has_counted: bool = self._unfinished.acquire(False)
            if self._unfinished.get_value() == 0:
                self._all_done.notify_all()
            return has_counted

    def join(self) -> None:
        """Waits until all that was put is done with."""
        with self._all_done:
            # Looked at now and then: who was done with the last one may have died before it said so.
            while self._unfinished.get_value() > 0 and not self._all_done.wait(0.05):
                pass


class SimpleQueue(Queue[T]):
    """A queue without a bound and with little to it."""

    def __init__(self, *, ctx: object = None, **options: Any) -> None:
        super().__init__(0, ctx=ctx, **options)
