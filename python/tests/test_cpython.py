"""CPython's own tests of queues pass, but for those that are named."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_cpythons_own_tests_pass(method: str) -> None:
    pytest.importorskip("test._test_multiprocessing", reason="this Python comes without its own tests")
    command = [sys.executable, "-m", "unittest", "cpython_suite"]
    environment = {**os.environ, "TIDEGATE_START_METHOD": method}
    run = subprocess.run(command, cwd=Path(__file__).parent, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    ran = re.search(r"Ran (\d+) tests", run.stderr)
    assert ran and int(ran[1]) >= 25, run.stderr
