"""Putting and getting in an event loop."""

import asyncio
import weakref
from collections.abc import AsyncIterator
from queue import Empty, Full
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from tidegate import _tidegate

if TYPE_CHECKING:
    from tidegate._queues import Queue

T = TypeVar("T")

#: Seconds after which who waits looks for itself, whatever becomes of the wake.
_HEARTBEAT = 0.05
#: Seconds between two looks at what another process has in hand, or whether there is room: at first, and in the end.
_PAUSE_LEAST = 0.00005
_PAUSE_MOST = 0.001


class _Turn:
    """Who waits for a queue in a loop: one at a time, in the order of coming."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self._wakes = _tidegate.Wakes()

    async def until_readable(self, queue: "Queue[Any]", pause: float) -> bool:
        """Waits until there may be something to get. False where that was so at once, ``pause`` ago."""
        if not self._wakes.await_readable(queue):
            await asyncio.sleep(pause)
            return False
        loop = asyncio.get_running_loop()
        woken = loop.create_future()
        loop.add_reader(self._wakes.fileno(), _wake, woken)
        heartbeat = loop.call_later(_HEARTBEAT, _wake, woken)
        try:
            await woken
        finally:
            heartbeat.cancel()
            loop.remove_reader(self._wakes.fileno())
            self._wakes.clear()
        return True


def _wake(woken: "asyncio.Future[None]") -> None:
    if not woken.done():
        woken.set_result(None)


_turns: "weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, weakref.WeakKeyDictionary[Any, _Turn]]" = (
    weakref.WeakKeyDictionary()
)


def _turn_at(queue: "Queue[Any]") -> _Turn:
    of_loop = _turns.setdefault(asyncio.get_running_loop(), weakref.WeakKeyDictionary())
    turn = of_loop.get(queue)
    if turn is None:
        turn = of_loop[queue] = _Turn()
    return turn


class Asynchronous(Generic[T]):
    """What a queue does in an event loop."""

    async def aget(self: "Queue[T]", timeout: float | None = None) -> T:  # type: ignore[misc]
        """Gets the next object, as :meth:`get`, while other tasks run. A task that is cancelled has got nothing.

        Raises :class:`Empty` when ``timeout`` seconds have passed.
        """
        try:
            async with asyncio.timeout(timeout), (turn := _turn_at(self)).lock:
                pause = 0.0
                while True:
                    try:
                        got: T = self.get_nowait()
                        return got
                    except Empty:
                        has_waited = await turn.until_readable(self, pause)
                    pause = 0.0 if has_waited else min(2 * pause, _PAUSE_MOST) or _PAUSE_LEAST
        except TimeoutError:
            raise Empty from None

    async def aput(self: "Queue[T]", obj: T, timeout: float | None = None) -> None:  # type: ignore[misc]
        """Puts an object, as :meth:`put`, while other tasks run. A task that is cancelled has put nothing.

        Raises :class:`Full` when ``timeout`` seconds have passed.
        """
        pause = _PAUSE_LEAST
        try:
            async with asyncio.timeout(timeout):
                while True:
                    try:
                        return self.put_nowait(obj)
                    except Full:
                        await asyncio.sleep(pause)
                    pause = min(2 * pause, _PAUSE_MOST)
        except TimeoutError:
            raise Full from None

    async def __aiter__(self: "Queue[T]") -> AsyncIterator[T]:  # type: ignore[misc]
        while True:
            yield await self.aget()
