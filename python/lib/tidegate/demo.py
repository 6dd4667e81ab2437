"""``python -m tidegate.demo``: the same traffic through multiprocessing's queue and through Tidegate's, and what each took."""

import argparse
import json
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

import tidegate

_Make = Callable[[Any], Any]
_QUEUES: dict[str, _Make] = {
    "multiprocessing": lambda ctx: ctx.Queue(),
    "tidegate": lambda ctx: tidegate.Queue(ctx=ctx),
}


def _consume(queue: Any, answers: Any, count: int) -> None:
    answers.put("ready")
    for _ in range(count):
        queue.get()
    answers.put(time.process_time())


def _objects(quick: bool) -> dict[str, tuple[Any, int]]:
    scale = 10 if quick else 1
    objects: dict[str, tuple[Any, int]] = {
        "64 bytes": (b"x" * 64, 200_000 // scale),
        "tuple": (("task", 17, 2.5, None), 200_000 // scale),
        "dict": ({"name": "task", "numbers": [1, 2, 3]}, 100_000 // scale),
        "1 MiB": (b"x" * (1 << 20), 2_000 // scale),
    }
    try:
        import numpy as np
    except ImportError:
        pass
    else:
        objects["1 MiB array"] = (np.zeros((256, 512)), 2_000 // scale)
    return objects


def _measure(ctx: Any, make: _Make, obj: Any, count: int) -> tuple[float, float]:
    """Objects a second from one process to another, and CPU seconds of both a million objects."""
    queue, answers = make(ctx), ctx.SimpleQueue()
    consumer = ctx.Process(target=_consume, args=(queue, answers, count))
    consumer.start()
    answers.get()
    before, began = time.process_time(), time.perf_counter()
    for _ in range(count):
        queue.put(obj)
    consumer_cpu = answers.get()
    took = time.perf_counter() - began
    cpu = time.process_time() - before + consumer_cpu
    consumer.join()
    queue.close()
    queue.join_thread()
    return count / took, cpu * 1e6 / count


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tidegate.demo", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the objects")
    parser.add_argument("--rounds", type=int, default=3, help="times that each is measured, in turns (default: 3)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    ctx = multiprocessing.get_context("spawn")
    results = []
    for name, (obj, count) in _objects(arguments.quick).items():
        rounds: dict[str, list[tuple[float, float]]] = {queue: [] for queue in _QUEUES}
        for _ in range(max(arguments.rounds, 1)):
            for queue, make in _QUEUES.items():
                rounds[queue].append(_measure(ctx, make, obj, count))
        medians = {
            queue: [statistics.median(column) for column in zip(*measured, strict=True)]
            for queue, measured in rounds.items()
        }
        results.append({"objects": name, "count": count, "medians": medians})
        if not arguments.json:
            (theirs, their_cpu), (ours, our_cpu) = medians["multiprocessing"], medians["tidegate"]
            print(
                f"{name:>12}: multiprocessing {theirs:>10,.0f}/s, tidegate {ours:>10,.0f}/s: {ours / theirs:6.1f} x; "
                f"CPU s a million {their_cpu:8.1f} and {our_cpu:8.1f}: {their_cpu / our_cpu:5.1f} x less",
                flush=True,
            )
    if arguments.json:
        machine = {"cpus": os.cpu_count(), "kernel": os.uname().release}
        print(json.dumps({"version": 1, "machine": machine, "results": results}))


if __name__ == "__main__":
    main()
