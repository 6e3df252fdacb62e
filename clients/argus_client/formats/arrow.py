"""Arrow's values from Python's, without pyarrow's own conversion.

The first use of that imports pandas wherever it is installed: 0.3 s and 40 MB for nothing.
"""

from array import array
from collections.abc import Iterable, Mapping
from functools import lru_cache
from itertools import accumulate

import pyarrow as pa
import pyarrow.compute as pc

# Of Python's arrays, whose values are the machine's, as Arrow's are.
_TYPE_CODES: Mapping[pa.DataType, str] = {
    pa.int8(): "b",
    pa.int16(): "h",
    pa.int32(): "i",
    pa.int64(): "q",
    pa.uint8(): "B",
    pa.uint16(): "H",
    pa.uint32(): "I",
    pa.uint64(): "Q",
    pa.float32(): "f",
    pa.float64(): "d",
}


# Made once: a batch takes many casts.
_TO_INT32 = pc.CastOptions.safe(pa.int32())
_TO_STRING = pc.CastOptions.safe(pa.string())


def int32_array(numbers: Iterable[int]) -> pa.Int32Array:
    """As pa.array(numbers, pa.int32())."""
    data = array("i", numbers)
    return pa.Array.from_buffers(pa.int32(), len(data), [None, pa.py_buffer(data)])


def as_int32(array: pa.Array) -> pa.Int32Array:
    """As array.cast(pa.int32())."""
    return pc.call_function("cast", [array], _TO_INT32)


def as_string(array: pa.Array) -> pa.StringArray:
    """As array.cast(pa.string())."""
    return pc.call_function("cast", [array], _TO_STRING)


@lru_cache(maxsize=1024)
def int32(value: int) -> pa.Int32Scalar:
    """As pa.scalar(value, pa.int32())."""
    return number(value, pa.int32())


def number(value: float, type_: pa.DataType) -> pa.Scalar:
    """As pa.scalar(value, type_)."""
    data = pa.py_buffer(array(_TYPE_CODES[type_], [value]))
    return pa.Array.from_buffers(type_, 1, [None, data])[0]


@lru_cache(maxsize=1024)
def string_array(texts: tuple[str, ...]) -> pa.StringArray:
    """As pa.array(texts, pa.string())."""
    encoded = [text.encode() for text in texts]
    ends = array("i", accumulate(map(len, encoded), initial=0))
    return pa.StringArray.from_buffers(len(encoded), pa.py_buffer(ends), pa.py_buffer(b"".join(encoded)))
