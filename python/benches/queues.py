"""Tidegate's queues beside others between processes, interleaved in one run.

``python benches/queues.py [--quick] [--json]``; peers: ``pip install faster-fifo pyzmq iceoryx2 cloudtoid-interprocess``.
"""

import argparse
import json
import multiprocessing
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from peers import PEERS, Iceoryx2, Peer, Tidegate

MIB = 1 << 20
# Objects in a call of put_many.
MANY = 64
ANSWERS_TIMEOUT = 120


def consume(peer: Peer, started: Any, answers: Any, count: int) -> None:
    get = peer.get
    began_cpu = begin(peer, started)
    for _ in range(count):
        get()
    answers.put(time.process_time() - began_cpu)


def begin(peer: Peer, started: Any) -> float:
    """Says that it is here; those that are bound or subscribed to must be before anything is sent. CPU seconds used by then."""
    if hasattr(peer, "_receiver"):
        ready = peer.receive if isinstance(peer, Iceoryx2) else peer.get
        started.put("ready")
        ready_message = ready()
        if isinstance(peer, Iceoryx2):
            peer.done(ready_message)
    else:
        started.put("ready")
    return time.process_time()


def greet(peer: Peer) -> None:
    """The first message of a peer that begins with one."""
    if hasattr(peer, "_receiver"):
        if isinstance(peer, Iceoryx2):
            # What nobody subscribes to yet is lost.
            while peer.got.value == 0:
                peer.put(b"greetings")
                time.sleep(0.01)
            peer._count = peer.got.value
        else:
            peer.put(b"greetings")


def consume_many(peer: Peer, started: Any, answers: Any, count: int) -> None:
    began_cpu = begin(peer, started)
    while count > 0:
        count -= len(list(peer.get_many(MANY)))
    answers.put(time.process_time() - began_cpu)


def consume_loans(peer: Peer, started: Any, answers: Any, count: int) -> None:
    began_cpu = begin(peer, started)
    total = 0.0
    for _ in range(count):
        if isinstance(peer, Iceoryx2):
            sample = peer.receive()
            array = np.frombuffer(sample.payload().as_memory_view().cast("B"), "f8")
            total += array[0] + array[-1]
            peer.done(sample)
        else:
            array = peer.get()
            total += array[0] + array[-1]
    assert total == sum(2 * (number % 8) for number in range(count)), total
    answers.put(time.process_time() - began_cpu)


def produce(peer: Peer, obj: Any, count: int) -> None:
    put = peer.put
    for _ in range(count):
        put(obj)


def produce_many(peer: Peer, obj: Any, count: int) -> None:
    objects = [obj] * MANY
    for _ in range(count // MANY):
        peer.put_many(objects)
    peer.put_many(objects[: count % MANY])


def produce_loans(peer: Peer, obj: Any, count: int) -> None:
    sources = [np.full(MIB // 8, float(number)) for number in range(8)]
    for number in range(count):
        if isinstance(peer, Iceoryx2):
            sample, memory = peer.loan(MIB)
            np.copyto(np.frombuffer(memory, "f8"), sources[number % 8])
            peer.send(sample)
        else:
            assert isinstance(peer, Tidegate)
            array = peer.queue.loan(MIB // 8)
            np.copyto(array, sources[number % 8])
            peer.put(array)


def produce_apart(peer: Peer, started: Any, answers: Any, obj: Any, count: int, go: Any) -> None:
    started.put("ready")
    go.wait()
    produce(peer, obj, count)
    answers.put("done")
    go.wait_for_end()
    peer.close()


class Go:
    """Lets several begin at once, and end when all has been got."""

    def __init__(self, ctx: Any) -> None:
        self.begun, self.ended = ctx.Event(), ctx.Event()
        self.wait, self.wait_for_end = self.begun.wait, self.ended.wait

    def __getstate__(self) -> dict[str, Any]:
        return {"begun": self.begun, "ended": self.ended}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.wait, self.wait_for_end = self.begun.wait, self.ended.wait


def echo(requests: Peer, answers: Peer, started: Any, count: int) -> None:
    begin(requests, started)
    greet(answers)
    for _ in range(count):
        answers.put(requests.get())


def note_arrivals(peer: Peer, started: Any, answers: Any, count: int) -> None:
    begin(peer, started)
    late = []
    cpu, began = time.process_time(), time.monotonic()
    for _ in range(count):
        sent = int(peer.get())
        late.append(time.monotonic_ns() - sent)
    share = (time.process_time() - cpu) / (time.monotonic() - began)
    answers.put((late, share))


def one_way(
    ctx: Any, kind: type[Peer], obj: Any, count: int, producing: Callable[..., None] = produce, consuming: Any = consume
) -> dict[str, float]:
    peer, started, answers = kind(ctx, "balanced"), ctx.SimpleQueue(), ctx.SimpleQueue()
    consumer = ctx.Process(target=consuming, args=(peer, started, answers, count))
    consumer.start()
    started.get()
    greet(peer)
    before, began = time.process_time(), time.perf_counter()
    producing(peer, obj, count)
    consumer_cpu = answers.get()
    took = time.perf_counter() - began
    cpu = time.process_time() - before + consumer_cpu
    consumer.join()
    peer.close()
    return {"per_s": count / took, "cpu_s_a_million": cpu * 1e6 / count}


def four_producers(ctx: Any, kind: type[Peer], obj: Any, count: int) -> dict[str, float]:
    peer, started, answers, go = kind(ctx, "balanced"), ctx.SimpleQueue(), ctx.SimpleQueue(), Go(ctx)
    each = count // 4
    producers = [
        ctx.Process(target=produce_apart, args=(peer, started, answers, obj, each, go)) for _ in range(4)
    ]
    for producer in producers:
        producer.start()
    for _ in producers:
        started.get()
    if hasattr(peer, "_receiver"):
        peer.put(b"greetings")
        peer.get()
    go.begun.set()
    began, get = time.perf_counter(), peer.get
    for _ in range(4 * each):
        get()
    took = time.perf_counter() - began
    go.ended.set()
    for producer in producers:
        producer.join()
    peer.close()
    return {"per_s": 4 * each / took}


def ping_pong(ctx: Any, kind: type[Peer], count: int) -> dict[str, float]:
    requests, answers, started = kind(ctx, "latency"), kind(ctx, "latency"), ctx.SimpleQueue()
    child = ctx.Process(target=echo, args=(requests, answers, started, count))
    child.start()
    started.get()
    greet(requests)
    if hasattr(answers, "_receiver"):
        answers.get()
    took = []
    for _ in range(count):
        began = time.perf_counter_ns()
        requests.put(b"x" * 64)
        answers.get()
        took.append(time.perf_counter_ns() - began)
    child.join()
    requests.close()
    answers.close()
    return {"p50_us": statistics.median(took) / 1e3}


def one_a_millisecond(ctx: Any, kind: type[Peer], profile: str, count: int) -> dict[str, float]:
    peer, started, answers = kind(ctx, profile), ctx.SimpleQueue(), ctx.SimpleQueue()
    consumer = ctx.Process(target=note_arrivals, args=(peer, started, answers, count))
    consumer.start()
    started.get()
    greet(peer)
    due = time.monotonic()
    for _ in range(count):
        due += 0.001
        time.sleep(max(due - time.monotonic(), 0))
        peer.put(b"%d" % time.monotonic_ns())
    late, share = answers.get()
    consumer.join()
    peer.close()
    # The controller has had a third of the time to settle.
    return {"p50_us": statistics.median(late[count // 3 :]) / 1e3, "consumer_cpu": share}


def memcpy(*_: Any) -> dict[str, float]:
    # From the memory to the memory that stays in the cache best: what a queue of one element does.
    source, into = np.full(MIB // 8, 1.0), np.empty(MIB // 8)
    began = time.perf_counter()
    for _ in range(4000):
        np.copyto(into, source)
    return {"per_s": 4000 / (time.perf_counter() - began)}


def workloads(scale: int) -> dict[str, tuple[Callable[..., dict[str, float]], list[str]]]:
    small, array = b"x" * 64, np.full(MIB // 8, 1.0)
    all_peers = list(PEERS)
    of_objects = [name for name in all_peers if PEERS[name].takes_arrays]
    return {
        "64 B": (lambda ctx, kind: one_way(ctx, kind, small, 400_000 // scale), all_peers),
        "64 B, many": (
            lambda ctx, kind: one_way(ctx, kind, small, 400_000 // scale, produce_many, consume_many),
            ["tidegate", "faster-fifo", "cloudtoid"],
        ),
        "tuple": (lambda ctx, kind: one_way(ctx, kind, (17, "a text"), 400_000 // scale), of_objects),
        "1 MiB array, copied": (lambda ctx, kind: one_way(ctx, kind, array, 4000 // scale), of_objects),
        "1 MiB array, loaned": (
            lambda ctx, kind: one_way(ctx, kind, None, 8000 // scale, produce_loans, consume_loans),
            ["tidegate", "iceoryx2"],
        ),
        "memcpy of 1 MiB": (memcpy, ["memcpy"]),
        "four producers": (lambda ctx, kind: four_producers(ctx, kind, small, 400_000 // scale), of_objects),
        "ping-pong": (lambda ctx, kind: ping_pong(ctx, kind, 20_000 // scale), all_peers),
        "one a ms, latency": (
            lambda ctx, kind: one_a_millisecond(ctx, kind, "latency", 6000 // scale),
            ["tidegate", "multiprocessing", "cloudtoid", "iceoryx2"],
        ),
        "one a ms, efficient": (
            lambda ctx, kind: one_a_millisecond(ctx, kind, "efficient", 6000 // scale),
            ["tidegate", "multiprocessing", "cloudtoid"],
        ),
    }


def bars(medians: dict[str, dict[str, dict[str, float]]]) -> list[tuple[str, float, str, float]]:
    """What is asked: a name, what was measured, in which direction, and the bar."""

    def best_other(workload: str, figure: str = "per_s") -> float:
        return max(figures[figure] for peer, figures in medians[workload].items() if peer != "tidegate")

    def ours(workload: str, figure: str = "per_s") -> float:
        return medians[workload]["tidegate"][figure]

    wanted: list[tuple[str, float, str, float]] = []
    for workload in ("64 B", "tuple"):
        best = max(ours(workload), ours("64 B, many") if workload == "64 B" else 0)
        wanted.append((f"{workload}, messages/s", best, ">=", min(3e6, 1.3 * best_other(workload))))
    if "iceoryx2" in medians["1 MiB array, loaned"]:
        ratio = ours("1 MiB array, loaned") / best_other("1 MiB array, loaned")
        wanted.append(("1 MiB array loaned / iceoryx2's", ratio, ">=", 1.2))
    copied = ours("1 MiB array, copied") / medians["memcpy of 1 MiB"]["memcpy"]["per_s"]
    wanted.append(("1 MiB array copied / memcpy's rate", copied, ">=", 0.7))
    wanted.append(("ping-pong, us", ours("ping-pong", "p50_us"), "<=", 4.0))
    wanted.append(("four producers / best peer", ours("four producers") / best_other("four producers"), ">=", 1.0))
    cpu = medians["64 B"]["multiprocessing"]["cpu_s_a_million"] / ours("64 B", "cpu_s_a_million")
    wanted.append(("CPU below multiprocessing's, times", cpu, ">=", 5.0))
    wanted.append(("one a ms: one way, us", ours("one a ms, latency", "p50_us"), "<=", 8.0))
    wanted.append(("one a ms: consumer's CPU, %", 100 * ours("one a ms, efficient", "consumer_cpu"), "<=", 2.0))
    return wanted


def machine() -> dict[str, Any]:
    model = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if "model name" in line), "?")
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=Path(__file__).parent, capture_output=True, text=True
    )
    return {
        "cpu": model,
        "cpus": os.cpu_count(),
        "kernel": os.uname().release,
        "python": platform.python_version(),
        "commit": commit.stdout.strip(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the objects, and one round")
    parser.add_argument("--rounds", type=int, help="times that each is measured, in turns (5, or 1 if quick)")
    parser.add_argument("--only", help="workloads with this in their name")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    rounds = arguments.rounds or (1 if arguments.quick else 5)
    ctx = multiprocessing.get_context("spawn")
    report: dict[str, Any] = {"version": 1, "machine": machine(), "rounds": rounds, "workloads": {}}
    chosen = {
        name: workload
        for name, workload in workloads(10 if arguments.quick else 1).items()
        if arguments.only is None or arguments.only in name
    }
    measured: dict[str, dict[str, list[dict[str, float]]]] = {name: {} for name in chosen}
    for _ in range(rounds):
        for name, (measure, names) in chosen.items():
            for peer in names:
                kind = PEERS.get(peer, Peer)
                if kind.is_installed():
                    measured[name].setdefault(peer, []).append(measure(ctx, kind))
    medians = {
        name: {
            peer: {figure: statistics.median(one[figure] for one in all_rounds) for figure in all_rounds[0]}
            for peer, all_rounds in peers.items()
        }
        for name, peers in measured.items()
    }
    report["workloads"] = {"medians": medians, "rounds": measured}
    report["bars"] = [] if arguments.only else bars(medians)
    if arguments.json:
        print(json.dumps(report))
        return
    print(*(f"{key} {value}" for key, value in report["machine"].items()), sep=", ")
    for name, peers in medians.items():
        print(f"{name}:")
        for peer, figures in peers.items():
            spread = {
                figure: [min(one[figure] for one in measured[name][peer]), max(one[figure] for one in measured[name][peer])]
                for figure in figures
            }
            cells = (f"{figure} {value:,.4g} [{spread[figure][0]:,.4g}, {spread[figure][1]:,.4g}]" for figure, value in figures.items())
            print(f"  {peer:>16}: {'; '.join(cells)}")
    for name, value, direction, bar in report["bars"]:
        is_met = value >= bar if direction == ">=" else value <= bar
        print(f"{'met' if is_met else 'MISSED':>6}: {name} {value:,.4g}, asked {direction} {bar:,.4g}")


if __name__ == "__main__":
    main()
