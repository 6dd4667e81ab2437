import multiprocessing
import os
from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture(params=["fork", "spawn", "forkserver"])
def ctx(request: pytest.FixtureRequest) -> Any:
    """Each way in which multiprocessing starts processes."""
    return multiprocessing.get_context(request.param)


@pytest.fixture(autouse=True)
def nothing_is_left_in_shared_memory() -> Iterator[None]:
    before = set(os.listdir("/dev/shm"))
    yield
    left = {name for name in set(os.listdir("/dev/shm")) - before if "tidegate" in name}
    assert not left
