"""Pipes: what multiprocessing's promise, and what a death leaves of them."""

import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

import tidegate

PATIENCE = 60


def test_both_ends_send_and_receive(ctx: Any) -> None:
    here, there = tidegate.Pipe()
    child = ctx.Process(target=_echo, args=(here, there))
    child.start()
    there.close()
    for obj in [1, "two", (3.0, None), b"4" * 100_000, [5] * 1000]:
        here.send(obj)
        assert here.recv() == obj
    here.send_bytes(b"bytes", 1, 3)
    assert here.recv_bytes() == b"yte"
    here.close()
    child.join(PATIENCE)
    assert child.exitcode == 0, "it was told that this end is gone"


def _echo(here: Any, there: Any) -> None:
    # Its own here, where it was forked.
    here.close()
    while True:
        try:
            there.send(there.recv())
        except EOFError:
            return


def test_one_way_is_one_way() -> None:
    reader, writer = tidegate.Pipe(duplex=False)
    assert (reader.readable, reader.writable, writer.readable, writer.writable) == (True, False, False, True)
    writer.send("forth")
    assert reader.recv() == "forth"
    with pytest.raises(OSError):
        reader.send("back")
    with pytest.raises(OSError):
        writer.recv()
    with pytest.raises(OSError):
        writer.poll()


def test_what_was_sent_is_received_before_the_end_is_told() -> None:
    here, there = tidegate.Pipe()
    there.send(1)
    there.send(2)
    there.close()
    assert (here.recv(), here.recv()) == (1, 2)
    for _ in range(2):
        assert here.poll()
        with pytest.raises(EOFError):
            here.recv()
    with pytest.raises(BrokenPipeError):
        here.send(3)


def test_the_end_of_a_killed_process_is_told(ctx: Any) -> None:
    here, there = tidegate.Pipe()
    child = ctx.Process(target=_send_and_sleep, args=(here, there))
    child.start()
    there.close()
    assert here.recv() == "sent"
    os.kill(child.pid, signal.SIGKILL)
    with pytest.raises(EOFError):
        here.recv()
    with pytest.raises(BrokenPipeError):
        here.send("too late")
    child.join(PATIENCE)


def _send_and_sleep(here: Any, there: Any) -> None:
    here.close()
    there.send("sent")
    time.sleep(PATIENCE)


def test_poll_waits_for_what_comes_and_no_longer() -> None:
    here, there = tidegate.Pipe()
    assert not here.poll() and not here.poll(0.01)
    sending = threading.Timer(0.05, there.send, ["now"])
    sending.start()
    assert here.poll(PATIENCE) and here.poll(None)
    assert here.recv() == "now"
    sending.join()
    closing = threading.Timer(0.05, there.close)
    closing.start()
    assert here.poll(None)
    closing.join()


def test_bytes_are_received_as_asked_for() -> None:
    here, there = tidegate.Pipe()
    there.send_bytes(memoryview(b"0123456789"), 2)
    with pytest.raises(OSError):
        here.recv_bytes(7)
    buffer = bytearray(12)
    there.send_bytes(b"0123456789")
    assert here.recv_bytes_into(buffer, 2) == 10 and bytes(buffer) == b"\0\x000123456789"
    there.send([1])
    with pytest.raises(OSError):
        here.recv_bytes()
    calls: list[Callable[[], Any]] = [
        lambda: there.send_bytes(b"123", 4),
        lambda: there.send_bytes(b"123", -1),
        lambda: there.send_bytes(b"123", 0, 4),
        lambda: here.recv_bytes(-1),
        lambda: here.recv_bytes_into(buffer, 13),
    ]
    for call in calls:
        with pytest.raises(ValueError):
            call()


def test_a_closed_connection_is_closed_and_leaves_nothing_open() -> None:
    before = len(os.listdir("/proc/self/fd"))
    here, there = tidegate.Pipe()
    with here:
        there.send(1)
    assert here.closed and not there.closed
    here.close()
    for call in (here.recv, lambda: here.send(1), here.poll):
        with pytest.raises(OSError):
            call()
    del here, there, call
    assert len(os.listdir("/proc/self/fd")) == before
