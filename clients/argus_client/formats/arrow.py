"""Arrow's values from Python's and to numpy's, without pyarrow's own conversion.

The first use of that imports pandas wherever it is installed: 0.3 s and 40 MB for nothing.
"""

from array import array
from functools import lru_cache
from itertools import accumulate
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Mask: TypeAlias = npt.NDArray[np.bool_]

_END = 2**31 - 1

# Made once: a batch takes many casts.
_TO_STRING = pc.CastOptions.safe(pa.string())


def as_string(array: pa.Array) -> pa.StringArray:
    """As array.cast(pa.string())."""
    return pc.call_function("cast", [array], _TO_STRING)


def number(value: float, type_: pa.DataType) -> pa.Scalar:
    """As pa.scalar(value, type_)."""
    data = pa.py_buffer(np.array([value], type_.to_pandas_dtype()))
    return pa.Array.from_buffers(type_, 1, [None, data])[0]


@lru_cache(maxsize=1024)
def string_array(texts: tuple[str, ...]) -> pa.StringArray:
    """As pa.array(texts, pa.string())."""
    encoded = [text.encode() for text in texts]
    ends = array("i", accumulate(map(len, encoded), initial=0))
    return pa.StringArray.from_buffers(len(encoded), pa.py_buffer(ends), pa.py_buffer(b"".join(encoded)))


def mask_of(array: pa.BooleanArray) -> Mask:
    """As array.to_numpy(), of an array without NULL."""
    bits = np.unpackbits(np.frombuffer(array.buffers()[1], np.uint8), bitorder="little")
    return bits[array.offset :][: len(array)].view(np.bool_)


def stored_numbers(array: pa.Array) -> npt.NDArray[Any]:
    """The values of an array of numbers as they are stored, for NULL too."""
    dtype = array.type.to_pandas_dtype()
    return np.frombuffer(array.buffers()[1], dtype, count=array.offset + len(array))[array.offset :]


def empty(count: int, dtype: np.dtype[Any]) -> tuple[pa.Buffer, npt.NDArray[Any]]:
    """As numpy.empty(), and its memory, which Arrow keeps for the next batch where numpy's would come
    anew from the system, page by page."""
    memory = pa.allocate_buffer(count * dtype.itemsize)
    return memory, np.frombuffer(memory, dtype)


def affixed(array: pa.StringArray, before: str, after: str) -> pa.StringArray:
    """Each value with text before and after it. NULL stays NULL."""
    if before:
        array = pc.binary_replace_slice(array, 0, 0, before)
    if after:
        array = pc.binary_replace_slice(array, _END, _END, after)
    return array


def text_buffer(array: pa.StringArray) -> pa.Buffer:
    """The UTF-8 of all values, one behind the other, not copied."""
    _, offsets, data = array.buffers()
    if data is None or not len(array):
        return pa.py_buffer(b"")
    # From Arrow's format: int32 offsets, one more than there are values.
    places = np.frombuffer(offsets, np.int32, count=array.offset + len(array) + 1)
    start, stop = int(places[array.offset]), int(places[-1])
    return data.slice(start, stop - start)
