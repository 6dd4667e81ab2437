"""How queues behave, within a process."""

import concurrent.futures
import signal
import threading
import time
from typing import Any

import pytest

import tidegate


def test_a_queue_is_first_in_first_out_and_counts() -> None:
    queue: tidegate.Queue[int] = tidegate.Queue()
    assert queue.empty() and not queue.full() and queue.qsize() == 0
    for number in range(100_000):
        queue.put(number)
    assert queue.qsize() == 100_000 and not queue.empty()
    assert [queue.get() for _ in range(100_000)] == list(range(100_000))
    assert queue.empty()


def test_a_bound_holds_for_all_who_put() -> None:
    queue: tidegate.Queue[int] = tidegate.Queue(7)
    most = []

    def put() -> None:
        for number in range(500):
            queue.put(number)

    threads = [threading.Thread(target=put) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(2000):
        most.append(queue.qsize())
        queue.get(timeout=60)
    for thread in threads:
        thread.join()
    assert max(most) <= 7
    assert queue.empty()


@pytest.mark.parametrize("maxsize", [1, 3, 5000])
def test_a_full_queue_refuses_and_an_empty_one_too(maxsize: int) -> None:
    queue: tidegate.Queue[int] = tidegate.Queue(maxsize)
    for number in range(maxsize):
        queue.put_nowait(number)
    assert queue.full() and queue.qsize() == maxsize
    for refused in (lambda: queue.put_nowait(0), lambda: queue.put(0, timeout=0.05), lambda: queue.put(0, False)):
        with pytest.raises(tidegate.Full):
            refused()
    assert queue.get_many(maxsize + 1) == list(range(maxsize))
    for refused in (queue.get_nowait, lambda: queue.get(timeout=0.05), lambda: queue.get(False)):
        with pytest.raises(tidegate.Empty):
            refused()


def test_a_wait_for_room_ends_when_there_is_some() -> None:
    queue: tidegate.Queue[int] = tidegate.Queue(1)
    queue.put(1)
    later = threading.Timer(0.2, queue.get)
    later.start()
    queue.put(2, timeout=60)
    later.join()
    assert queue.get(timeout=10) == 2


def test_many_threads_share_one_end() -> None:
    queue: tidegate.Queue[int] = tidegate.Queue()
    got: list[int] = []

    def get() -> None:
        while (number := queue.get(timeout=60)) >= 0:
            got.append(number)

    threads = [threading.Thread(target=get) for _ in range(4)]
    for thread in threads:
        thread.start()
    queue.put_many(range(20_000))
    queue.put_many([-1] * 4)
    for thread in threads:
        thread.join()
    assert sorted(got) == list(range(20_000))


def test_an_interrupt_ends_a_wait() -> None:
    queue: tidegate.Queue[int] = tidegate.Queue()
    main = threading.main_thread().ident
    assert main is not None
    threading.Timer(0.3, signal.pthread_kill, (main, signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        queue.get()
    queue.put(1)
    assert queue.get(timeout=10) == 1


def test_a_closed_queue_refuses() -> None:
    queue: tidegate.Queue[int] = tidegate.Queue()
    with pytest.raises(ValueError):
        queue.join_thread()
    with queue:
        queue.put(1)
    assert queue.closed
    queue.join_thread()
    queue.cancel_join_thread()
    for refused in (lambda: queue.put(1), queue.get, queue.qsize):
        with pytest.raises(ValueError, match="closed"):
            refused()
    queue.close()


@pytest.mark.parametrize("waits_to", ["get", "put"])
@pytest.mark.parametrize("how", ["close", "detach"])
def test_who_waits_is_told_when_the_queue_is_closed(waits_to: str, how: str) -> None:
    queue: tidegate.Queue[int] = tidegate.Queue(1)
    if waits_to == "put":
        queue.put(1)
    told = []

    def wait() -> None:
        try:
            queue.get() if waits_to == "get" else queue.put(2)
        except ValueError as error:
            told.append(str(error))

    waiting = threading.Thread(target=wait)
    waiting.start()
    time.sleep(0.2)
    getattr(queue, how)()
    waiting.join(60)
    assert told == ["the queue is closed"]


def test_a_signal_handler_may_use_the_queue_that_it_interrupts() -> None:
    queue: tidegate.Queue[int] = tidegate.Queue()
    before = signal.signal(signal.SIGUSR1, lambda *_: queue.put(7))
    main = threading.main_thread().ident
    assert main is not None
    threading.Timer(0.3, signal.pthread_kill, (main, signal.SIGUSR1)).start()
    assert queue.get(timeout=60) == 7
    signal.signal(signal.SIGUSR1, before)


class Named(tidegate.Queue[int]):
    def __init__(self, name: str) -> None:
        super().__init__(2)
        self.name = name


def test_subclasses_have_what_arguments_they_want() -> None:
    queue = Named("orders")
    queue.put(1)
    assert (queue.name, queue.maxsize, queue.get()) == ("orders", 2, 1)


def test_get_many_hands_over_what_it_has_before_it_tells_an_error() -> None:
    queue: tidegate.Queue[object] = tidegate.Queue()
    queue.put_many([1, 2])
    queue.put(Spoilt())
    queue.put(3)
    assert queue.get_many(10) == [1, 2]
    with pytest.raises(ValueError, match="not a number"):
        queue.get(timeout=10)
    assert queue.get(timeout=10) == 3


class Spoilt:
    def __reduce__(self) -> tuple[object, ...]:
        return (int, ("not a number",))


def test_put_many_says_how_many_were_put() -> None:
    queue: tidegate.Queue[int] = tidegate.Queue(3)
    with pytest.raises(tidegate.Full) as failed:
        queue.put_many(range(10), timeout=0.05)
    assert failed.value.put == 3  # type: ignore[attr-defined]
    assert queue.get_many(10) == [0, 1, 2]


def test_bad_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="latency"):
        tidegate.Queue(profile="fast")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="peer_death"):
        tidegate.Queue(peer_death="ignore")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="maxsize"):
        tidegate.Queue(2**40)
    with pytest.raises(TypeError):
        tidegate.Queue("3")  # type: ignore[arg-type]
    queue: tidegate.Queue[int] = tidegate.Queue()
    with pytest.raises(ValueError, match="not a number"):
        queue.get(timeout=float("nan"))
    with pytest.raises(tidegate.Empty):
        queue.get(timeout=-1)


def test_a_queue_is_pickled_only_for_a_child_that_is_started() -> None:
    import pickle

    with pytest.raises(RuntimeError, match="inheritance"):
        pickle.dumps(tidegate.Queue())


def test_a_joinable_queue_knows_when_all_is_done() -> None:
    queue: tidegate.JoinableQueue[int] = tidegate.JoinableQueue()
    queue.put_many(range(10))
    done = threading.Event()
    threading.Thread(target=lambda: (queue.join(), done.set()), daemon=True).start()
    for _ in range(10):
        queue.get()
        assert not done.is_set()
        queue.task_done()
    assert done.wait(60)
    with pytest.raises(ValueError):
        queue.task_done()


def test_a_joinable_queue_that_is_full_lets_those_who_get_go_on() -> None:
    queue: tidegate.JoinableQueue[int] = tidegate.JoinableQueue(1)
    queue.put(1)
    with pytest.raises(tidegate.Full):
        queue.put(2, timeout=0.05)
    waiting = threading.Thread(target=queue.put, args=(3,))
    waiting.start()
    for expected in (1, 3):
        assert queue.get(timeout=60) == expected
        queue.task_done()
    waiting.join()
    queue.join()


def test_stats_and_decisions_tell_what_went_on() -> None:
    queue: tidegate.Queue[bytes] = tidegate.Queue()
    for _ in range(100):
        queue.put(b"x" * 1000)
    stats = queue.stats()
    assert stats["put"] == 100 and stats["got"] == 0 and stats["backlog_bytes"] > 100_000
    deadline = time.monotonic() + 60
    while not queue.decisions():
        queue.get_many(100, timeout=1)
        queue.put_many([b"x" * 1000] * 500)
        assert time.monotonic() < deadline
    assert {"id", "action", "reason", "sentence"} <= set(queue.decisions()[0])


def test_the_endpoint_shows_queues(tmp_path: Any) -> None:
    import urllib.request

    queue: tidegate.Queue[int] = tidegate.Queue()
    queue.put(1)
    endpoint = tidegate.serve("127.0.0.1:0")
    text = urllib.request.urlopen(f"{endpoint.address}/metrics").read().decode()
    assert "tidegate_sent_messages_total" in text
    endpoint.close()
    assert endpoint.address is None
    with pytest.raises(OSError):
        tidegate.serve("0.0.0.0:0")


def test_patch_swaps_and_unpatch_swaps_back() -> None:
    import multiprocessing

    before = multiprocessing.Queue
    tidegate.patch()
    try:
        assert isinstance(multiprocessing.Queue(3), tidegate.Queue)
        assert isinstance(multiprocessing.get_context("spawn").JoinableQueue(), tidegate.JoinableQueue)
        with multiprocessing.get_context("spawn").Pool(2) as pool:
            assert pool.map(abs, [-1, 2]) == [1, 2]
        with concurrent.futures.ProcessPoolExecutor(2) as executor:
            assert list(executor.map(abs, [-1, 2])) == [1, 2]
    finally:
        tidegate.unpatch()
    assert multiprocessing.Queue == before
    assert not isinstance(multiprocessing.Queue(), tidegate.Queue)


def test_a_join_ends_when_who_was_done_with_the_last_has_died() -> None:
    queue: tidegate.JoinableQueue[str] = tidegate.JoinableQueue()
    queue.put("the last")
    queue.get()
    # As one leaves it that dies before it tells the others.
    assert queue._unfinished.acquire(False)
    joining = threading.Thread(target=queue.join)
    joining.start()
    joining.join(60)
    assert not joining.is_alive()
