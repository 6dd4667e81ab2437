"""Two ends that send to each other, with the interface of ``multiprocessing.Pipe``."""

import errno
import os
import select
import time
from multiprocessing import reduction
from multiprocessing.context import assert_spawning
from queue import Empty, Full
from typing import Any

from tidegate import _tidegate
from tidegate._queues import Queue

#: Seconds between two looks whether the other end is gone.
_LOOK = 0.05


class Connection:
    """One end of a pipe. What ``send`` returned from is received, also where the sender is killed after it.

    The other end is gone when every process that had it has closed it or ended: what is there is received first, then ``recv`` raises
    :class:`EOFError`. ``send`` raises :class:`BrokenPipeError` then. As with multiprocessing, a child that was forked has both ends,
    and closes the one that it does not use.

    There is no ``fileno``: ``multiprocessing.connection.wait`` does not know these.
    """

    def __init__(self, incoming: "Queue[Any] | None", outgoing: "Queue[Any] | None", own: int, other: int) -> None:
        self._incoming, self._outgoing = incoming, outgoing
        # The write end of a pipe that nothing is written to, and the read end of the other connection's.
        self._own, self._other = own, other

    @property
    def closed(self) -> bool:
        return self._own < 0

    @property
    def readable(self) -> bool:
        return self._incoming is not None

    @property
    def writable(self) -> bool:
        return self._outgoing is not None

    def send(self, obj: Any) -> None:
        """Sends an object."""
        outgoing = self._to_send()
        while not self._is_other_gone():
            try:
                return outgoing.put(obj, timeout=_LOOK)
            except Full:
                pass
        raise BrokenPipeError(errno.EPIPE, "the other end of the pipe is gone")

    def recv(self) -> Any:
        """The next object that the other end has sent. Raises :class:`EOFError` if it is gone, and nothing is left."""
        incoming = self._to_receive()
        while True:
            try:
                return incoming.get(timeout=_LOOK)
            except Empty:
                pass
            if self._is_other_gone():
                try:
                    return incoming.get_nowait()
                except Empty:
                    raise EOFError from None

    def send_bytes(self, buffer: Any, offset: int = 0, size: int | None = None) -> None:
        """Sends the bytes of a buffer, or ``size`` of them from ``offset`` on."""
        view = memoryview(buffer).cast("B")
        size = len(view) - offset if size is None else size
        if offset < 0 or size < 0 or offset + size > len(view):
            raise ValueError(f"{size} bytes from {offset} on, of a buffer of {len(view)}")
        self.send(view[offset : offset + size].tobytes())

    def recv_bytes(self, maxlength: int | None = None) -> bytes:
        """The next bytes that the other end has sent. Raises :class:`OSError` if they are more, or something else."""
        if maxlength is not None and maxlength < 0:
            raise ValueError("maxlength is below 0")
        received = self.recv()
        if not isinstance(received, bytes):
            raise OSError(f"no bytes, but a {type(received).__name__} was sent")
        if maxlength is not None and len(received) > maxlength:
            raise OSError(f"{len(received)} bytes were sent, and {maxlength} are asked for at most")
        return received

    def recv_bytes_into(self, buffer: Any, offset: int = 0) -> int:
        """Receives the next bytes into a buffer, from ``offset`` on, and says how many there were."""
        view = memoryview(buffer).cast("B")
        if not 0 <= offset <= len(view):
            raise ValueError(f"from {offset} on, of a buffer of {len(view)} bytes")
        received = self.recv_bytes(len(view) - offset)
        view[offset : offset + len(received)] = received
        return len(received)

    def poll(self, timeout: float | None = 0.0) -> bool:
        """Whether ``recv`` would not wait; waits for that ``timeout`` seconds, or for ever."""
        incoming = self._to_receive()
        until = None if timeout is None else time.monotonic() + timeout
        wakes, both = _tidegate.Wakes(), select.poll()
        both.register(wakes.fileno(), select.POLLIN)
        both.register(self._other, 0)
        while incoming.empty() and not self._is_other_gone():
            left = _LOOK if until is None else min(_LOOK, until - time.monotonic())
            if left <= 0:
                return False
            wakes.clear()
            if wakes.await_readable(incoming):
                both.poll(max(1, round(left * 1000)))
        return True

    def close(self) -> None:
        """Ends this process's use of the connection."""
        if self.closed:
            return
        for queue in (self._incoming, self._outgoing):
            if queue is not None:
                queue.close()
        for descriptor in (self._own, self._other):
            os.close(descriptor)
        self._own = self._other = -1

    def _to_send(self) -> "Queue[Any]":
        if self.closed:
            raise OSError("the connection is closed")
        if self._outgoing is None:
            raise OSError("the connection is to receive only")
        return self._outgoing

    def _to_receive(self) -> "Queue[Any]":
        if self.closed:
            raise OSError("the connection is closed")
        if self._incoming is None:
            raise OSError("the connection is to send only")
        return self._incoming

    def _is_other_gone(self) -> bool:
        ends = select.poll()
        # Nobody writes: all that can come is that nobody is left who could.
        ends.register(self._other, 0)
        return bool(ends.poll(0))

    def __reduce__(self) -> tuple[Any, ...]:
        assert_spawning(self)
        own, other = reduction.DupFd(self._own), reduction.DupFd(self._other)
        return _rebuild, (self._incoming, self._outgoing, own, other)

    def __enter__(self) -> "Connection":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        # Not where it was never made whole.
        if getattr(self, "_own", -1) >= 0:
            self.close()


def _rebuild(incoming: "Queue[Any] | None", outgoing: "Queue[Any] | None", own: Any, other: Any) -> Connection:
    return Connection(incoming, outgoing, own.detach(), other.detach())


def Pipe(duplex: bool = True) -> tuple[Connection, Connection]:
    """Two connected ends. Without ``duplex`` the first receives and the second sends, and neither does the other."""
    forth, back = (_two_handles() if wanted else (None, None) for wanted in (True, duplex))
    (first_gone, first), (second_gone, second) = os.pipe(), os.pipe()
    return (
        Connection(forth[0], back[1], first, second_gone),
        Connection(back[0], forth[1], second, first_gone),
    )


def _two_handles() -> "tuple[Queue[Any], Queue[Any]]":
    """A queue, once to get and once to put, so that each end is closed apart from the other."""
    one: Queue[Any] = Queue(peer_death="count")
    return one, one._another()
