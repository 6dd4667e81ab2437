"""Batches of images through a pool of workers: ``python examples/images.py [multiprocessing|tidegate]``, or both, timed.

What differs is where the queues come from. Each worker normalises its batches in place and sends back a histogram and the batch.
"""

import multiprocessing
import sys
import time
from typing import Any

import numpy as np

WORKERS = 2
BATCHES = 200
SHAPE = (8, 224, 224, 3)


def work(batches: Any, results: Any) -> None:
    while (batch := batches.get()) is not None:
        number, images = batch
        images -= images.mean(axis=(1, 2, 3), keepdims=True)
        images /= images.std(axis=(1, 2, 3), keepdims=True)
        histogram, _ = np.histogram(images, bins=16, range=(-2, 2))
        results.put((number, histogram, images))


def run(library: Any) -> float:
    """Seconds that it takes with the queues of ``library``."""
    batches, results = library.Queue(8), library.Queue()
    workers = [multiprocessing.Process(target=work, args=(batches, results)) for _ in range(WORKERS)]
    for worker in workers:
        worker.start()
    source = np.random.default_rng(1).random(SHAPE, dtype="f4")
    seen: set[int] = set()
    total, number = np.zeros(16, dtype=int), 0
    began = time.perf_counter()
    while len(seen) < BATCHES:
        # Never more on their way than the workers can take: who puts must also get.
        while number < BATCHES and number - len(seen) < 8:
            batches.put((number, source))
            number += 1
        which, histogram, images = results.get()
        assert abs(float(images[0].mean())) < 1e-3
        seen.add(which)
        total += histogram
    took = time.perf_counter() - began
    for _ in workers:
        batches.put(None)
    for worker in workers:
        worker.join()
    assert seen == set(range(BATCHES)) and total.sum() > 0
    return took


def main() -> None:
    chosen = sys.argv[1:] or ["multiprocessing", "tidegate"]
    for name in chosen:
        took = run(__import__(name))
        print(f"{name:>16}: {BATCHES} batches of {np.prod(SHAPE) * 4 / 2**20:.1f} MiB in {took:.2f} s, {BATCHES / took:.0f} a second")


if __name__ == "__main__":
    main()
