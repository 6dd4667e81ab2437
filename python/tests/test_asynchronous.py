"""Queues in an event loop."""

import asyncio
import os
import signal
import time
from typing import Any

import pytest

import tidegate

PATIENCE = 60


def test_tasks_put_and_get_while_others_run() -> None:
    async def main() -> None:
        queue: tidegate.Queue[int] = tidegate.Queue()
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0)

        ticking = asyncio.create_task(tick())
        getting = asyncio.create_task(queue.aget(PATIENCE))
        await asyncio.sleep(0.05)
        assert not getting.done() and ticks > 1
        await queue.aput(7)
        assert await getting == 7
        ticking.cancel()

    asyncio.run(main())


def test_many_tasks_get_each_object_once_in_the_order_of_coming() -> None:
    async def main() -> None:
        queue: tidegate.Queue[int] = tidegate.Queue()
        getting = [asyncio.create_task(queue.aget(PATIENCE)) for _ in range(20)]
        await asyncio.sleep(0)
        for number in range(20):
            await queue.aput(number)
        assert await asyncio.gather(*getting) == list(range(20))

    asyncio.run(main())


def test_a_task_hears_another_process(ctx: Any) -> None:
    queue: tidegate.Queue[Any] = tidegate.Queue()
    back: tidegate.Queue[Any] = tidegate.Queue()
    child = ctx.Process(target=_echo, args=(queue, back))
    child.start()

    async def main() -> list[Any]:
        got = []
        for number in range(300):
            await queue.aput(number)
            got.append(await back.aget(PATIENCE))
        await queue.aput(None)
        return got

    assert asyncio.run(main()) == list(range(300))
    child.join(PATIENCE)
    assert child.exitcode == 0


def _echo(queue: Any, back: Any) -> None:
    for obj in iter(queue.get, None):
        back.put(obj)


def test_a_cancelled_task_has_got_nothing_and_put_nothing() -> None:
    async def main() -> None:
        queue: tidegate.Queue[int] = tidegate.Queue(1)
        getting = asyncio.create_task(queue.aget())
        await asyncio.sleep(0.01)
        getting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await getting
        await queue.aput(1)
        putting = asyncio.create_task(queue.aput(2))
        await asyncio.sleep(0.01)
        putting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await putting
        assert await queue.aget(PATIENCE) == 1
        assert queue.empty()

    asyncio.run(main())


def test_time_runs_out_as_for_threads() -> None:
    async def main() -> None:
        queue: tidegate.Queue[int] = tidegate.Queue(1)
        with pytest.raises(tidegate.Empty):
            await queue.aget(0.01)
        await queue.aput(1)
        with pytest.raises(tidegate.Full):
            await queue.aput(2, 0.01)
        assert await queue.aget(0.01) == 1

    asyncio.run(main())


def test_a_queue_is_iterated_over() -> None:
    async def main() -> list[int]:
        queue: tidegate.Queue[int | None] = tidegate.Queue()
        queue.put_many([1, 2, 3, None])
        got = []
        async for number in queue:
            if number is None:
                break
            got.append(number)
        return got

    assert asyncio.run(main()) == [1, 2, 3]


def test_a_task_hears_of_a_death_and_of_a_close(ctx: Any) -> None:
    queue: tidegate.Queue[Any] = tidegate.Queue()
    child = ctx.Process(target=_put_and_sleep, args=(queue,))
    child.start()

    async def main() -> None:
        assert await queue.aget(PATIENCE) == 1
        os.kill(child.pid, signal.SIGKILL)
        with pytest.raises(tidegate.PeerDied):
            await queue.aget(PATIENCE)
        getting = asyncio.create_task(queue.aget())
        await asyncio.sleep(0.01)
        queue.close()
        with pytest.raises(ValueError):
            await asyncio.wait_for(getting, PATIENCE)

    asyncio.run(main())
    child.join(PATIENCE)


def _put_and_sleep(queue: Any) -> None:
    queue.put(1)
    time.sleep(PATIENCE)


def test_an_object_in_another_loop_is_got_there() -> None:
    queue: tidegate.Queue[int] = tidegate.Queue()

    async def main() -> int:
        return await queue.aget(PATIENCE)

    for number in range(3):
        queue.put(number)
        assert asyncio.run(main()) == number


def test_a_joinable_queue_counts_what_tasks_put() -> None:
    async def main() -> None:
        queue: tidegate.JoinableQueue[int] = tidegate.JoinableQueue()
        await queue.aput(1)
        assert await queue.aget(PATIENCE) == 1
        queue.task_done()
        queue.join()
        with pytest.raises(ValueError):
            queue.task_done()

    asyncio.run(main())
