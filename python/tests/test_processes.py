"""Queues between processes, and over their deaths."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from typing import Any

import numpy as np
import pytest

import tidegate


def echo(requests: Any, answers: Any) -> None:
    for request in iter(requests.get, None):
        answers.put(request)


def put_numbers(queue: Any, producer: int, count: int) -> None:
    for number in range(count):
        queue.put((producer, number))


def put_for_ever(queue: Any) -> None:
    number = 0
    while True:
        queue.put((os.getpid(), number))
        number += 1
        # Who gets is told of a death when there is nothing to get.
        time.sleep(0.0005)


def get_for_ever(queue: Any, got: Any) -> None:
    while True:
        got.put((os.getpid(), queue.get()))


def square_sum(queue: Any, answers: Any) -> None:
    while (array := queue.get()) is not None:
        answers.put(float((array.astype("f8") ** 2).sum()))


@pytest.mark.parametrize("maxsize", [0, 4])
def test_objects_go_there_and_back(ctx: Any, maxsize: int) -> None:
    requests, answers = tidegate.Queue(maxsize, ctx=ctx), tidegate.Queue(maxsize, ctx=ctx)
    child = ctx.Process(target=echo, args=(requests, answers))
    child.start()
    for number in range(2000):
        requests.put(("number", number))
        assert answers.get(timeout=60) == ("number", number)
    requests.put(None)
    child.join(60)
    assert child.exitcode == 0
    # One that ends as it should is no death.
    assert requests.peers_died == answers.peers_died == 0
    with pytest.raises(tidegate.Empty):
        answers.get(timeout=0.2)


def test_each_object_of_several_processes_is_got_once_and_in_their_order(ctx: Any) -> None:
    queue: tidegate.Queue[tuple[int, int]] = tidegate.Queue(ctx=ctx)
    children = [ctx.Process(target=put_numbers, args=(queue, producer, 5000)) for producer in range(3)]
    for child in children:
        child.start()
    next_of = [0, 0, 0]
    for _ in range(15_000):
        producer, number = queue.get(timeout=60)
        assert number == next_of[producer]
        next_of[producer] += 1
    for child in children:
        child.join(60)
    assert queue.empty()


def test_what_a_child_put_stays_when_it_has_ended(ctx: Any) -> None:
    queue: tidegate.Queue[tuple[int, int]] = tidegate.Queue(ctx=ctx)
    child = ctx.Process(target=put_numbers, args=(queue, 0, 20_000))
    child.start()
    # Nobody gets meanwhile: it must not wait for that.
    child.join(60)
    assert child.exitcode == 0
    assert [queue.get(timeout=10)[1] for _ in range(20_000)] == list(range(20_000))


def test_arrays_come_to_another_process(ctx: Any) -> None:
    queue, answers = tidegate.Queue(ctx=ctx), tidegate.Queue(ctx=ctx)
    child = ctx.Process(target=square_sum, args=(queue, answers))
    child.start()
    for number in range(50):
        queue.put(np.full((100, 1000), number, dtype="f4"))
        assert answers.get(timeout=60) == number**2 * 100_000
    queue.put(None)
    child.join(60)
    assert child.exitcode == 0


@pytest.mark.parametrize("maxsize", [0, 10])
def test_a_producer_that_is_killed_is_told_once_and_holds_nobody_up(ctx: Any, maxsize: int) -> None:
    queue: tidegate.Queue[tuple[int, int]] = tidegate.Queue(maxsize, ctx=ctx)
    stays = ctx.Process(target=put_for_ever, args=(queue,), daemon=True)
    stays.start()
    for _ in range(3):
        dies = ctx.Process(target=put_for_ever, args=(queue,), daemon=True)
        dies.start()
        next_of: dict[int, int] = {}
        deadline, told = time.monotonic() + 60, False
        while next_of.get(dies.pid, 0) < 100:
            take(queue, next_of)
            assert time.monotonic() < deadline
        os.kill(dies.pid, signal.SIGKILL)
        dies.join()
        while not told:
            assert time.monotonic() < deadline
            try:
                take(queue, next_of)
            except tidegate.PeerDied as death:
                assert death.args == (dies.pid,)
                told = True
        before = next_of.get(stays.pid, 0)
        while next_of.get(stays.pid, 0) < before + 100:
            take(queue, next_of)
    stays.terminate()
    stays.join()


def take(queue: Any, next_of: dict[int, int]) -> None:
    pid, number = queue.get(timeout=60)
    assert next_of.setdefault(pid, number) == number
    next_of[pid] += 1


def test_a_bound_outlives_those_who_put_and_those_who_are_killed(ctx: Any) -> None:
    queue: tidegate.Queue[Any] = tidegate.Queue(2, ctx=ctx, peer_death="count")
    leaves = ctx.Process(target=put_numbers, args=(queue, 0, 2))
    leaves.start()
    leaves.join(60)
    assert queue.get_many(2, timeout=60) == [(0, 0), (0, 1)]
    for _ in range(5):
        dies = ctx.Process(target=put_for_ever, args=(queue,), daemon=True)
        dies.start()
        queue.get(timeout=60)
        os.kill(dies.pid, signal.SIGKILL)
        dies.join()
    while not queue.empty():
        queue.get(timeout=60)
    queue.put_many([1, 2], timeout=60)
    with pytest.raises(tidegate.Full):
        queue.put(3, timeout=0.05)
    assert queue.get_many(3, timeout=60) == [1, 2]


def test_more_than_sixteen_processes_put_to_a_queue_with_a_bound() -> None:
    ctx = multiprocessing.get_context("fork")
    queue: tidegate.Queue[tuple[int, int]] = tidegate.Queue(8, ctx=ctx)
    children = [ctx.Process(target=put_numbers, args=(queue, producer, 20)) for producer in range(24)]
    for child in children:
        child.start()
    got = [queue.get(timeout=60) for _ in range(24 * 20)]
    assert sorted(got) == [(producer, number) for producer in range(24) for number in range(20)]
    for child in children:
        child.join(60)
        assert child.exitcode == 0


def keep_what_comes(queue: Any, answers: Any) -> None:
    global KEPT
    KEPT = queue.get()
    answers.put("kept")


def test_what_was_got_is_not_got_again_when_who_keeps_it_ends(ctx: Any) -> None:
    queue, answers = tidegate.Queue(ctx=ctx), tidegate.Queue(ctx=ctx)
    child = ctx.Process(target=keep_what_comes, args=(queue, answers))
    child.start()
    queue.put(np.ones(100_000))
    assert answers.get(timeout=60) == "kept"
    child.join(60)
    with pytest.raises(tidegate.Empty):
        queue.get(timeout=0.3)


def test_a_process_ends_although_a_thread_of_it_waits() -> None:
    script = (
        "import threading, time, tidegate\n"
        "queue = tidegate.Queue()\n"
        "threading.Thread(target=queue.get, daemon=True).start()\n"
        "time.sleep(0.3)\n"
    )
    ended = subprocess.run([sys.executable, "-c", script], timeout=60, capture_output=True)
    assert ended.returncode == 0, ended.stderr


def test_what_a_killed_consumer_had_not_got_is_got_by_another(ctx: Any) -> None:
    queue: tidegate.Queue[int] = tidegate.Queue(ctx=ctx, peer_death="count")
    got: tidegate.Queue[tuple[int, int]] = tidegate.Queue(ctx=ctx, peer_death="count")
    dies = ctx.Process(target=get_for_ever, args=(queue, got), daemon=True)
    dies.start()
    numbers = iter(range(10**9))
    seen = set()
    for _ in range(100):
        queue.put(next(numbers))
        seen.add(got.get(timeout=60)[1])
    os.kill(dies.pid, signal.SIGKILL)
    dies.join()
    rest = [next(numbers) for _ in range(500)]
    queue.put_many(rest)
    heir = ctx.Process(target=get_for_ever, args=(queue, got), daemon=True)
    heir.start()
    seen |= {got.get(timeout=60)[1] for _ in rest}
    assert seen == set(range(600))
    heir.terminate()
    heir.join()


def test_a_child_that_was_forked_by_hand_attaches_anew() -> None:
    queue: tidegate.Queue[int] = tidegate.Queue()
    queue.put(1)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            queue.put(queue.get(timeout=10) + 1)
            queue.detach()
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    assert queue.get(timeout=10) == 2


def test_a_joinable_queue_is_joined_over_processes(ctx: Any) -> None:
    queue: tidegate.JoinableQueue[int] = tidegate.JoinableQueue(ctx=ctx)
    children = [ctx.Process(target=do_tasks, args=(queue,)) for _ in range(2)]
    for child in children:
        child.start()
    queue.put_many(range(200))
    queue.join()
    assert queue.empty()
    queue.put_many([-1, -1])
    queue.join()
    for child in children:
        child.join(60)
        assert child.exitcode == 0


def do_tasks(queue: Any) -> None:
    task = 0
    while task >= 0:
        task = queue.get()
        queue.task_done()


def test_who_was_killed_while_it_put_to_a_queue_with_a_bound_holds_nobody_up() -> None:
    queue: tidegate.Queue[Any] = tidegate.Queue(100, peer_death="count")
    large = np.zeros(1 << 24)
    for _ in range(10):
        pid = os.fork()
        if pid == 0:
            # A grandchild has all descriptors that it has.
            if os.fork() == 0:
                time.sleep(5)
                os._exit(0)
            while True:
                queue.put(large)
        assert queue.get(timeout=60).shape == large.shape
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        while True:
            try:
                queue.get(timeout=0.1)
            except tidegate.Empty:
                break
        queue.put("goes on", timeout=60)
        assert queue.get(timeout=60) == "goes on"
