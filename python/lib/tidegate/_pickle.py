"""Objects that are not encoded natively, by pickle protocol 5 with large buffers beside it (PEP 574)."""

import copyreg
import io
import pickle
from collections import ChainMap
from multiprocessing.reduction import ForkingPickler
from typing import Any

# Smaller buffers stay in the pickle: a place of their own costs more than a copy.
_BUFFER_BYTES_MIN = 1024
# What multiprocessing knows to send, so that it can be sent here; also what is registered later.
_REDUCERS: ChainMap[type, Any] = ChainMap(ForkingPickler._extra_reducers, copyreg.dispatch_table)  # type: ignore[attr-defined]


def dumps(obj: object) -> tuple[memoryview, list[memoryview]]:
    """Pickles an object; yields the pickle, and the buffers that belong to it."""
    buffers: list[memoryview] = []

    def stays_in_the_pickle(buffer: pickle.PickleBuffer) -> bool:
        try:
            raw = buffer.raw()
        except BufferError:  # It is not contiguous.
            return True
        if raw.nbytes < _BUFFER_BYTES_MIN:
            return True
        buffers.append(raw)
        return False

    file = io.BytesIO()
    pickler = pickle.Pickler(file, 5, buffer_callback=stays_in_the_pickle)
    pickler.dispatch_table = _REDUCERS
    pickler.dump(obj)
    return file.getbuffer(), buffers


def loads(data: bytes, buffers: list[Any]) -> object:
    """Makes the object again."""
    return pickle.loads(data, buffers=buffers)
