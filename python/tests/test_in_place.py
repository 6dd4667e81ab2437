"""Arrays in the queue's memory: got in place, and filled before they are put."""

import gc
import os
import signal
import time
from typing import Any

import numpy as np
import pytest

import tidegate

LARGE = (512, 512)


def lies_in_the_queue(array: Any) -> bool:
    base = array
    while getattr(base, "base", None) is not None:
        base = base.base
    return isinstance(getattr(base, "obj", base), tidegate._tidegate.Memory)


def add_one_and_return(queue: Any, answers: Any) -> None:
    while (array := queue.get()) is not None:
        array += 1
        answers.put(array)
        del array


def keep(queue: Any, kept: Any) -> None:
    arrays = [queue.get() for _ in range(8)]
    kept.set()
    signal.pause()
    del arrays


def test_a_large_array_is_got_in_place_and_is_ones_own_to_write() -> None:
    queue: tidegate.Queue[Any] = tidegate.Queue()
    sent = np.arange(np.prod(LARGE), dtype="f8").reshape(LARGE)
    queue.put(sent)
    got = queue.get()
    assert lies_in_the_queue(got) and got.flags.writeable
    got *= 2
    assert (got == 2 * sent).all()
    queue.put({"fortran": np.asfortranarray(sent), "small": np.arange(3)})
    both = queue.get()
    assert lies_in_the_queue(both["fortran"]) and (both["fortran"] == sent).all() and both["small"].tolist() == [0, 1, 2]


def test_what_is_got_in_place_stays_when_the_queue_goes() -> None:
    queue: tidegate.Queue[Any] = tidegate.Queue()
    queue.put(np.full(LARGE, 7.0))
    got = queue.get()
    view = memoryview(got)[1:]
    queue.close()
    del queue, got
    gc.collect()
    assert view[0, 0] == 7.0


def test_blocks_come_back_and_who_keeps_many_gets_copies() -> None:
    queue: tidegate.Queue[Any] = tidegate.Queue()
    kept = []
    for number in range(300):
        queue.put(np.full(LARGE, float(number)), timeout=60)
        kept.append(queue.get(timeout=60))
    in_place = [lies_in_the_queue(array) for array in kept]
    assert in_place[0] and not in_place[-1]
    assert all((array == number).all() for number, array in enumerate(kept))
    del kept
    gc.collect()
    queue.put(np.full(LARGE, 1.0))
    assert lies_in_the_queue(queue.get())


def test_arrays_change_hands_without_a_copy(ctx: Any) -> None:
    requests: tidegate.Queue[Any] = tidegate.Queue(ctx=ctx)
    answers: tidegate.Queue[Any] = tidegate.Queue(ctx=ctx)
    child = ctx.Process(target=add_one_and_return, args=(requests, answers))
    child.start()
    for number in range(600):
        array = requests.loan(LARGE, "i4")
        array[:] = number
        requests.put(array)
        assert not array.flags.writeable
        got = answers.get(timeout=60)
        assert got.shape == LARGE and (got == number + 1).all()
    requests.put(None)
    child.join(60)
    assert child.exitcode == 0


def test_what_a_killed_process_kept_comes_back(ctx: Any) -> None:
    queue: tidegate.Queue[Any] = tidegate.Queue(ctx=ctx, peer_death="count")
    for _ in range(40):
        kept = tidegate.Event()
        child = ctx.Process(target=keep, args=(queue, kept))
        child.start()
        for number in range(8):
            queue.put(np.full(LARGE, float(number)))
        assert kept.wait(60)
        os.kill(child.pid, signal.SIGKILL)
        child.join()
        if ctx.get_start_method() != "fork":
            break
    # As many as there are blocks.
    for number in range(256):
        queue.put(np.full(LARGE, float(number)), timeout=60)
    for number in range(256):
        assert queue.get(timeout=60)[0, 0] == number


def test_a_loan_is_filled_and_put_once() -> None:
    queue: tidegate.Queue[Any] = tidegate.Queue(2)
    array = queue.loan((3, 1000), "u2")
    array[:] = 5
    queue.put(array)
    assert (queue.get() == 5).all()
    with pytest.raises(ValueError, match="put already"):
        queue.put(array)
    # In something else, in another shape or of part of it a copy is put, and the array stays one's own.
    small = queue.loan(4)
    small[:] = [1, 2, 3, 4]
    for obj in (("in a tuple", small), small.reshape(2, 2)):
        queue.put(obj)
        small[0] += 1
        got = queue.get()
        assert (got if isinstance(got, np.ndarray) else got[1]).ravel()[0] == small[0] - 1
    part = queue.loan(10)
    part[:] = range(10)
    queue.put(part[2:4])
    assert queue.get().tolist() == [2, 3] and part.flags.writeable
    other: tidegate.Queue[Any] = tidegate.Queue()
    other.put(part)
    assert other.get().tolist() == list(range(10)) and part.flags.writeable
    assert queue.loan((0, 5)).shape == (0, 5)


def a_forked_child_sees_what_it_saw() -> bool:
    queue: tidegate.Queue[Any] = tidegate.Queue()
    queue.put(np.full(LARGE, 1.0))
    array = queue.get()
    assert lies_in_the_queue(array)
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.read(read, 1)
        os._exit(0 if (array == 1.0).all() else 1)
    del array
    for number in range(300):
        queue.put(np.full(LARGE, float(number)))
        queue.get()
    os.write(write, b"x")
    return os.waitpid(pid, 0)[1] == 0


def test_a_child_that_is_forked_keeps_what_its_parent_lets_go() -> None:
    # In a process of its own, which keeps the memory until it ends.
    pid = os.fork()
    if pid == 0:
        os._exit(0 if a_forked_child_sees_what_it_saw() else 1)
    assert os.waitpid(pid, 0)[1] == 0


def test_arrays_are_got_in_place_again_when_who_kept_half_has_died() -> None:
    queue: tidegate.Queue[Any] = tidegate.Queue(peer_death="count")
    pid = os.fork()
    if pid == 0:
        kept = []
        while len(kept) < 128:
            queue.put(np.full(LARGE, 1.0))
            kept.append(queue.get())
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)
    until = time.monotonic() + 60
    while time.monotonic() < until:
        queue.put(np.full(LARGE, 1.0))
        if lies_in_the_queue(queue.get()):
            break
    else:
        pytest.fail("the blocks of the dead did not come back")


def test_a_loan_that_finds_the_queue_full_can_be_put_later() -> None:
    queue: tidegate.Queue[Any] = tidegate.Queue(1)
    queue.put("in the way")
    array = queue.loan(LARGE)
    array[:] = 3
    with pytest.raises(tidegate.Full):
        queue.put(array, timeout=0.05)
    assert array.flags.writeable
    queue.get()
    queue.put(array)
    assert (queue.get() == 3).all()


def test_loans_that_are_forgotten_are_given_back() -> None:
    queue: tidegate.Queue[Any] = tidegate.Queue()
    for _ in range(1000):
        queue.loan(LARGE)
    kept = []
    with pytest.raises(tidegate.Full):
        for _ in range(257):
            kept.append(queue.loan(8, block=False))
    assert len(kept) == 256


@pytest.mark.parametrize(("shape", "dtype"), [(-1, "f8"), ((2, -3), "f8"), (4, object)])
def test_loans_that_cannot_be_are_refused(shape: Any, dtype: Any) -> None:
    with pytest.raises(ValueError, match="no array of shape"):
        tidegate.Queue().loan(shape, dtype)
    with pytest.raises(ValueError, match="is longer than"):
        tidegate.Queue().loan(1 << 40)
