"""Counts the status codes of a server's log by a pool of workers: ``python examples/log_lines.py [multiprocessing|tidegate]``.

What differs is where the queue and the lock come from. Lines go to the workers in chunks; the counts are one array that all share.
"""

import collections
import multiprocessing
import re
import sys
import time
from multiprocessing.sharedctypes import RawArray
from typing import Any

WORKERS = 2
LINES = 200_000
CHUNK = 20
STATUS = re.compile(r'" (\d{3}) \d+$')


def lines() -> list[str]:
    return [f'10.0.{n % 256}.7 - - "GET /item/{n} HTTP/1.1" {(200, 200, 200, 404, 500)[n % 5]} {n % 9000}' for n in range(LINES)]


def work(chunks: Any, lock: Any, counts: Any) -> None:
    while chunk := chunks.get():
        found = collections.Counter(match[1] for line in chunk if (match := STATUS.search(line)))
        with lock:
            for status, count in found.items():
                counts[int(status)] += count


def run(library: Any) -> float:
    """Seconds that it takes with the queue and the lock of ``library``."""
    chunks, lock, counts = library.Queue(), library.Lock(), RawArray("L", 600)
    workers = [multiprocessing.Process(target=work, args=(chunks, lock, counts)) for _ in range(WORKERS)]
    for worker in workers:
        worker.start()
    log = lines()
    began = time.perf_counter()
    for at in range(0, LINES, CHUNK):
        chunks.put(tuple(log[at : at + CHUNK]))
    for _ in workers:
        chunks.put(())
    for worker in workers:
        worker.join()
    took = time.perf_counter() - began
    assert (counts[200], counts[404], counts[500]) == (LINES * 3 // 5, LINES // 5, LINES // 5)
    return took


def main() -> None:
    for name in sys.argv[1:] or ["multiprocessing", "tidegate"]:
        took = run(__import__(name))
        print(f"{name:>16}: {LINES} lines in {took:.2f} s, {LINES / took:,.0f} a second")


if __name__ == "__main__":
    main()
