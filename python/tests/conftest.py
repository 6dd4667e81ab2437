import gc
import multiprocessing
import os
from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture(params=["fork", "spawn", "forkserver"])
def ctx(request: pytest.FixtureRequest) -> Any:
    """Each way in which multiprocessing starts processes."""
    return multiprocessing.get_context(request.param)


def _segments() -> int:
    """Segments of this process."""
    descriptors = (os.path.join("/proc/self/fd", name) for name in os.listdir("/proc/self/fd"))
    return sum("memfd:tidegate" in os.readlink(path) for path in descriptors if os.path.islink(path))


@pytest.fixture(autouse=True)
def nothing_is_left_behind() -> Iterator[None]:
    gc.collect()
    before, names = _segments(), set(os.listdir("/dev/shm"))
    yield
    gc.collect()
    assert _segments() <= before
    assert {name for name in set(os.listdir("/dev/shm")) - names if not name.startswith("sem.")} == set()
