"""Recording traffic, and models of it."""

import gzip
import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import tidegate


def test_a_recording_holds_what_the_queue_carried(tmp_path: Path) -> None:
    queue: tidegate.Queue[int] = tidegate.Queue()
    path = tmp_path / "traffic_one.tgtrace"
    with queue.record(path) as recording:
        for number in range(1000):
            queue.put(number)
        assert [queue.get() for _ in range(1000)] == list(range(1000))
        told = recording.stop()
    assert told["messages"] == 1000 and told["samples"] >= 1
    assert path.read_bytes()[:1] != b""
    with pytest.raises(ValueError):
        recording.stop()
    with pytest.raises(FileExistsError):
        queue.record(path)
    for tick in (0, -1, 11, float("nan")):
        with pytest.raises(ValueError):
            queue.record(tmp_path / "other.tgtrace", tick=tick)
    assert not (tmp_path / "other.tgtrace").exists()


def _write_arrivals(path: Path, seed: int) -> None:
    drawn, at_ns, lines = random.Random(seed), 0, ["t_ns,bytes"]
    for number in range(20_000):
        at_ns += int(drawn.expovariate(1 / (20_000 if number // 500 % 4 == 0 else 400_000)))
        lines.append(f"{at_ns},{drawn.choice([64, 200, 1500])}")
    path.write_bytes(gzip.compress("\n".join(lines).encode()))


def test_a_model_is_trained_and_forecasts_for_a_queue(tmp_path: Path) -> None:
    traces = tmp_path / "traces"
    traces.mkdir()
    for name, seed in (("shop_monday", 1), ("shop_friday", 2), ("bank_monday", 3)):
        _write_arrivals(traces / f"{name}.csv.gz", seed)
    told = tidegate.train(traces, tmp_path / "models")
    assert told["standing"] in ("proven", "candidate")
    assert told["overall"]["model"]["pinball"] > 0
    model = Path(told["model"])
    assert model == tmp_path / "models" / "overflow.json"
    assert {trace["family"] for trace in json.loads(model.read_text())["traces"]} == {"shop", "bank"}
    queue: tidegate.Queue[int] = tidegate.Queue(model=model)
    queue.put(1)
    assert queue.get() == 1


def test_too_little_to_learn_from_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OSError):
        tidegate.train(tmp_path / "nowhere", tmp_path)
    _write_arrivals(tmp_path / "shop_monday.csv.gz", 1)
    with pytest.raises(ValueError):
        tidegate.train(tmp_path, tmp_path / "models")
    with pytest.raises(ValueError):
        tidegate.train(tmp_path, tmp_path / "models", tau=2)
    assert not (tmp_path / "models").exists()


def test_ctrl_c_ends_training_and_writes_nothing(tmp_path: Path) -> None:
    for name, seed in (("shop_monday", 1), ("bank_monday", 3)):
        _write_arrivals(tmp_path / f"{name}.csv.gz", seed)
    program = f"import tidegate; print('begun', flush=True); tidegate.train({str(tmp_path)!r}, {str(tmp_path / 'models')!r})"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        time.sleep(0.3)
        child.send_signal(signal.SIGINT)
        _, errors = child.communicate(timeout=60)
    if child.returncode == 0:
        pytest.skip("it was done before it was told")
    assert b"KeyboardInterrupt" in errors
    assert not (tmp_path / "models").exists()
