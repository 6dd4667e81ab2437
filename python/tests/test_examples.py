"""The examples run, with either library, and count right."""

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"


@pytest.mark.parametrize("library", ["multiprocessing", "tidegate"])
@pytest.mark.parametrize("example", ["images", "log_lines"])
def test_an_example_runs(example: str, library: str) -> None:
    command = [sys.executable, str(EXAMPLES / f"{example}.py"), library]
    run = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0 and run.stderr == "", run.stderr
    assert library in run.stdout and "a second" in run.stdout
