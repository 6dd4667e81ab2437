"""What is put is what is got."""

import array
import collections
import datetime
import gc
import pickle
from typing import Any

import numpy as np
import pytest

import tidegate

PLAIN = [
    b"",
    b"bytes",
    b"x" * 100_000,
    bytearray(b"bytearray"),
    "",
    "text",
    "ünïcödé \N{SNOWMAN}",
    "\ud800",
    "y" * 100_000,
    0,
    -1,
    2**63 - 1,
    -(2**63),
    2**63,
    10**100,
    1.5,
    float("inf"),
    None,
    True,
    False,
    (),
    (1, "two", b"three", 4.0, None, True),
    ((1, 2), 3),
    tuple(range(100)),
    ("z" * 100_000,),
    [1, [2, [3]]],
    {"key": {"nested": (1, 2)}},
    {1, 2, 3},
    datetime.datetime(2026, 1, 2, 3, 4, 5),
    collections.OrderedDict(a=1),
    array.array("d", [1.0, 2.0]),
    Exception("an error"),
]


class Text(str):
    """A subclass of what is encoded natively."""


class Number(int):
    pass


@pytest.mark.parametrize("obj", PLAIN, ids=lambda obj: repr(obj)[:30])
def test_objects_come_as_they_went(obj: Any) -> None:
    queue: tidegate.Queue[Any] = tidegate.Queue()
    queue.put(obj)
    got = queue.get(timeout=10)
    assert type(got) is type(obj)
    assert got == obj or repr(got) == repr(obj)


def test_subclasses_stay_what_they_are() -> None:
    queue: tidegate.Queue[Any] = tidegate.Queue()
    queue.put_many([Text("a"), Number(1), (Text("b"),)])
    got = queue.get_many(3)
    assert [type(obj) for obj in (got[0], got[1], got[2][0])] == [Text, Number, Text]


@pytest.mark.parametrize("dtype", ["u1", "f4", "c16", "i8,f4", "M8[s]", "O"])
@pytest.mark.parametrize("shape", [(0,), (5,), (300, 200), (3, 4, 5)])
def test_arrays_of_any_type_and_shape(dtype: str, shape: tuple[int, ...]) -> None:
    queue: tidegate.Queue[Any] = tidegate.Queue()
    sent = np.ones(shape, dtype=dtype)
    queue.put(sent)
    got = queue.get(timeout=10)
    assert got.dtype == sent.dtype and got.shape == sent.shape and (got == sent).all()


@pytest.mark.parametrize("layout", ["transposed", "sliced", "reversed", "fortran", "broadcast"])
def test_arrays_of_any_layout(layout: str) -> None:
    whole = np.arange(40_000, dtype="f8").reshape(200, 200)
    views = {
        "transposed": whole.T,
        "sliced": whole[::2, 1::3],
        "reversed": whole[::-1],
        "fortran": np.asfortranarray(whole),
        "broadcast": np.broadcast_to(whole[0], (50, 200)),
    }
    queue: tidegate.Queue[Any] = tidegate.Queue()
    queue.put({"array": views[layout], "other": 1})
    assert (queue.get(timeout=10)["array"] == views[layout]).all()


def test_arrays_are_ones_own_and_stay_when_the_queue_goes() -> None:
    queue: tidegate.Queue[Any] = tidegate.Queue()
    kept = []
    for number in range(600):
        queue.put(np.full(20_000, number), timeout=60)
        kept.append(queue.get(timeout=60))
        queue.put(b"x" * 16_000, timeout=60)
        queue.get(timeout=60)
    assert queue.stats()["capacity_bytes"] <= 1 << 20, "what is kept takes up no ring"
    queue.close()
    del queue
    gc.collect()
    for number, array in enumerate(kept):
        assert array.flags.writeable and (array == number).all()


def test_what_cannot_be_pickled_is_an_error_of_put_and_changes_nothing() -> None:
    queue: tidegate.Queue[Any] = tidegate.Queue(1)
    for _ in range(3):
        with pytest.raises((pickle.PicklingError, AttributeError, TypeError)):
            queue.put(lambda: None)
    queue.put("fine", timeout=10)
    assert queue.get(timeout=10) == "fine"


class Disturbed:
    """Fails when it is made again."""

    def __reduce__(self) -> Any:
        return (int, ("not a number",))


def test_what_cannot_be_unpickled_is_an_error_of_get_once() -> None:
    queue: tidegate.Queue[Any] = tidegate.Queue(1)
    queue.put(Disturbed())
    with pytest.raises(ValueError, match="not a number"):
        queue.get(timeout=10)
    queue.put(1, timeout=10)
    assert queue.get(timeout=10) == 1


@pytest.mark.parametrize("length", [1, 100, 1 << 17])
@pytest.mark.parametrize("dtype", ["?", "i1", ">i4", "<u8", "f2", ">f8", "c16", "S3", "U5", "M8[us]", "m8[D]", "O", "V3", "i4,f8"])
def test_arrays_keep_type_shape_and_order(dtype: str, length: int) -> None:
    queue: tidegate.Queue[Any] = tidegate.Queue()
    flat = np.arange(length * 6) % 100
    array = (flat.astype("f8") if dtype == "i4,f8" else flat.astype("u1") % 2 if dtype == "V3" else flat).astype(dtype)
    for sent in (array.reshape(length, 3, 2), np.asfortranarray(array.reshape(2, 3, length)), array[::2], array[:0]):
        queue.put(sent)
        got = queue.get()
        # NumPy's own pickle changes the order of bytes of some.
        expected = sent if got.dtype == sent.dtype else pickle.loads(pickle.dumps(sent, 5))
        assert type(got) is type(sent) and got.dtype == expected.dtype and got.shape == sent.shape
        assert np.array_equal(got, sent)
        assert got.flags.writeable and got.flags.f_contiguous >= sent.flags.f_contiguous


def test_arrays_with_a_type_of_metadata_or_a_class_of_their_own_stay_so() -> None:
    queue: tidegate.Queue[Any] = tidegate.Queue()
    queue.put(np.ma.masked_array([1, 2], [True, False]))
    assert queue.get().mask.tolist() == [True, False]
    zero_dimensional = np.array(3.5)
    queue.put(zero_dimensional)
    got = queue.get()
    assert got.shape == () and got == 3.5
