"""Locks, semaphores, conditions and events between threads and processes, and over deaths."""

import concurrent.futures
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from typing import Any

import pytest

import tidegate


def count_up(lock: Any, path: str, times: int) -> None:
    for _ in range(times):
        with lock:
            with open(path) as file:
                before = int(file.read())
            with open(path, "w") as file:
                file.write(str(before + 1))


def acquire_and_sleep(lock: Any, has_it: Any) -> None:
    lock.acquire()
    has_it.set()
    time.sleep(1000)


def acquire_and_end(lock: Any) -> None:
    lock.acquire()


def release(lock: Any) -> None:
    lock.release()


def wait_and_tell(condition: Any, waits: Any, notified: Any) -> None:
    with condition:
        waits.release()
        notified.put((os.getpid(), condition.wait()))


def waits_now(condition: Any, waits: Any) -> None:
    """Returns when one more waits: it has said so, and let the lock go."""
    assert waits.acquire(timeout=60)
    with condition:
        pass


def start(ctx: Any, target: Any, *args: Any) -> Any:
    process = ctx.Process(target=target, args=args)
    process.start()
    return process


@pytest.mark.parametrize("kind", ["Lock", "RLock", "BoundedSemaphore", "Condition"])
def test_one_at_a_time_has_a_lock(ctx: Any, kind: str, tmp_path: Any) -> None:
    lock = getattr(tidegate, kind)()
    path = tmp_path / "count"
    path.write_text("0")
    children = [start(ctx, count_up, lock, str(path), 300) for _ in range(3)]
    count_up(lock, str(path), 300)
    for child in children:
        child.join(60)
        assert child.exitcode == 0
    assert path.read_text() == "1200"


@pytest.mark.parametrize("kind", ["Lock", "RLock", "BoundedSemaphore"])
def test_who_comes_after_a_killed_holder_is_told_once_and_hangs_not(ctx: Any, kind: str) -> None:
    lock, has_it = getattr(tidegate, kind)(), tidegate.Event()
    child = start(ctx, acquire_and_sleep, lock, has_it)
    assert has_it.wait(60)
    assert not lock.acquire(timeout=0.05)
    os.kill(child.pid, signal.SIGKILL)
    with pytest.raises(tidegate.PeerDied) as death:
        lock.acquire(timeout=60)
    assert death.value.args == (child.pid,)
    assert lock.acquire(timeout=60)
    lock.release()
    assert lock.peers_died == 1
    child.join()


def test_a_death_is_only_counted_by_option(ctx: Any) -> None:
    lock = tidegate.Lock(peer_death="count")
    child = start(ctx, acquire_and_end, lock)
    child.join(60)
    assert lock.acquire(False)
    assert lock.peers_died == 1
    assert not lock.acquire(False)


def test_a_lock_is_released_by_another_process(ctx: Any) -> None:
    lock, semaphore = tidegate.Lock(), tidegate.Semaphore(0)
    lock.acquire()
    for held in (lock, semaphore):
        child = start(ctx, release, held)
        assert held.acquire(timeout=60)
        child.join(60)
        assert child.exitcode == 0


def test_a_recursive_lock_is_its_threads_own() -> None:
    lock = tidegate.RLock()
    assert lock.acquire() and lock.acquire()
    refused: list[Any] = []

    def try_it() -> None:
        refused.append(lock.acquire(False))
        try:
            lock.release()
        except AssertionError as error:
            refused.append(str(error))

    thread = threading.Thread(target=try_it)
    thread.start()
    thread.join()
    assert refused == [False, "attempt to release recursive lock not owned by thread"]
    lock.release()
    assert lock.locked()
    lock.release()
    assert not lock.locked()


def test_a_child_that_was_forked_has_not_what_its_parent_has() -> None:
    lock = tidegate.RLock()
    lock.acquire()
    pid = os.fork()
    if pid == 0:
        os._exit(0 if not lock.acquire(timeout=0.1) and not lock._is_mine() else 1)
    assert os.waitpid(pid, 0)[1] == 0
    lock.release()


def test_semaphores_count_and_refuse() -> None:
    with pytest.raises(ValueError, match="-1 tokens: 0 to"):
        tidegate.Semaphore(-1)
    bounded = tidegate.BoundedSemaphore(2)
    assert bounded.get_value() == 2 and bounded.acquire() and bounded.acquire() and not bounded.acquire(False)
    bounded.release()
    bounded.release()
    with pytest.raises(ValueError, match="released too many times"):
        bounded.release()
    with pytest.raises(ValueError, match="peer_death"):
        tidegate.Lock(peer_death="ignore")  # type: ignore[arg-type]
    assert not tidegate.Semaphore(0).acquire(timeout=-1)


def test_the_one_that_waits_longest_is_notified(ctx: Any) -> None:
    condition, waits, notified = tidegate.Condition(), tidegate.Semaphore(0), tidegate.Queue[Any](ctx=ctx)
    children = []
    for _ in range(3):
        children.append(start(ctx, wait_and_tell, condition, waits, notified))
        waits_now(condition, waits)
    for child in children:
        with condition:
            condition.notify()
        assert notified.get(timeout=60) == (child.pid, True)
        child.join(60)


def test_a_notification_passes_over_those_who_were_killed(ctx: Any) -> None:
    condition, waits, notified = tidegate.Condition(), tidegate.Semaphore(0), tidegate.Queue[Any](ctx=ctx)
    children = []
    for _ in range(3):
        children.append(start(ctx, wait_and_tell, condition, waits, notified))
        waits_now(condition, waits)
    for child in children[:2]:
        os.kill(child.pid, signal.SIGKILL)
        child.join()
    with condition:
        condition.notify()
    assert notified.get(timeout=60) == (children[2].pid, True)
    children[2].join(60)


def test_what_one_was_told_that_died_is_told_to_the_next(ctx: Any) -> None:
    condition, waits, notified = tidegate.Condition(peer_death="count"), tidegate.Semaphore(0), tidegate.Queue[Any](ctx=ctx)
    children = []
    for _ in range(2):
        children.append(start(ctx, wait_and_tell, condition, waits, notified))
        waits_now(condition, waits)
    os.kill(children[0].pid, signal.SIGSTOP)
    with condition:
        condition.notify()
    os.kill(children[0].pid, signal.SIGKILL)
    children[0].join()
    assert notified.get(timeout=60) == (children[1].pid, True)
    children[1].join(60)


def test_a_condition_takes_any_lock() -> None:
    for lock in (multiprocessing.Lock(), multiprocessing.RLock(), tidegate.Semaphore(1), tidegate.Lock()):
        condition = tidegate.Condition(lock)
        with condition:
            assert not condition.wait(0.01)
            condition.notify()
        assert lock.acquire(False)
        lock.release()


def test_an_interrupt_while_the_lock_is_had_again_leaves_it_had_once() -> None:
    program = """
import os, signal, threading, time, tidegate
condition = tidegate.Condition()
def interrupt():
    for _ in range(200):
        with condition:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.001)
            condition.notify()
        time.sleep(0.001)
    done.append(1)
done = []
thread = threading.Thread(target=interrupt)
with condition:
    thread.start()
    while not done:
        try:
            condition.wait(0.1)
        except KeyboardInterrupt:
            pass
        try:
            assert condition._lock._count() == 1, condition._lock._count()
        except KeyboardInterrupt:
            pass
thread.join()
print("left", condition._lock._get_value())
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert run.stdout == "left 1\n", run.stderr


def test_a_condition_is_as_its_lock_was() -> None:
    condition = tidegate.Condition()
    with pytest.raises(AssertionError, match="acquired before wait"):
        condition.wait()
    with pytest.raises(AssertionError, match="acquired before notify"):
        condition.notify()
    with condition, condition:
        assert not condition.wait(0.01)
        assert condition._lock._count() == 2
        assert condition.wait_for(lambda: False, 0.01) is False
        # Who comes later does not get what was for others.
        condition.notify()
        assert not condition.wait(0.01)
    assert not condition._lock.locked()


def test_who_waits_has_seen_an_event_that_was_cleared_at_once() -> None:
    event = tidegate.Event()
    seen: list[bool] = []
    thread = threading.Thread(target=lambda: seen.append(event.wait(60)))
    thread.start()
    while not seen:
        event.set()
        event.clear()
    thread.join()
    assert seen == [True] and not event.is_set() and not event.wait(0.01)


@pytest.mark.parametrize(
    "wait", ["lock.acquire()", "tidegate.Semaphore(0).acquire()", "tidegate.Event().wait()", "wait_for_condition()"]
)
def test_an_interrupt_ends_a_wait(wait: str) -> None:
    program = f"""
import tidegate
lock = tidegate.Lock()
lock.acquire()
condition = tidegate.Condition()
def wait_for_condition():
    with condition:
        try:
            condition.wait()
        finally:
            assert condition._lock._is_mine()
print("waits", flush=True)
try:
    {wait}
except KeyboardInterrupt:
    print("interrupted")
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None and child.stdout.readline() == "waits\n"
        time.sleep(0.1)
        child.send_signal(signal.SIGINT)
        assert child.communicate(timeout=60)[0] == "interrupted\n"


def test_a_lock_is_pickled_only_for_a_child_that_is_started() -> None:
    for made in (tidegate.Lock(), tidegate.Condition(), tidegate.Event(), tidegate.Semaphore()):
        with pytest.raises(RuntimeError, match="inheritance"):
            pickle.dumps(made)


def double(number: int) -> int:
    return 2 * number


def add(value: Any, barrier: Any) -> None:
    barrier.wait(60)
    for _ in range(100):
        with value.get_lock():
            value.value += 1


def test_what_of_multiprocessing_takes_locks_takes_these(ctx: Any) -> None:
    tidegate.patch()
    try:
        assert isinstance(ctx.Lock(), tidegate.Lock) and isinstance(multiprocessing.RLock(), tidegate.RLock)
        value, barrier = ctx.Value("i", 0), ctx.Barrier(3)
        children = [start(ctx, add, value, barrier) for _ in range(3)]
        for child in children:
            child.join(60)
        assert value.value == 300
        with concurrent.futures.ProcessPoolExecutor(2, mp_context=ctx) as executor:
            assert list(executor.map(double, range(100), timeout=60)) == [2 * number for number in range(100)]
        with ctx.Pool(2) as pool:
            assert pool.map(double, range(100)) == [2 * number for number in range(100)]
    finally:
        tidegate.unpatch()
    assert type(ctx.Lock()).__module__ == "multiprocessing.synchronize"
