"""Arrow text, of whatever layout, from anywhere → plain strings that can be relied on."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

_BINARY_TYPES = {
    pa.string(): pa.binary(),
    pa.large_string(): pa.large_binary(),
    pa.string_view(): pa.binary_view(),
}


class NotUtf8(Exception):
    """The text at a place, from 0, is not UTF-8."""

    def __init__(self, place: int, value: bytes) -> None:
        super().__init__()
        self.place = place
        self.value = value


def is_text(type_: pa.DataType) -> bool:
    """Strings, large or as views, or a dictionary of such."""
    return (type_.value_type if pa.types.is_dictionary(type_) else type_) in _BINARY_TYPES


def to_texts(array: pa.Array, take_bytes: Callable[[int], None]) -> pa.StringArray:
    """The same texts in Arrow's plain layout, checked to be UTF-8.

    take_bytes: is told how many bytes the texts will have, before they have them; it may raise. A
        dictionary or views may say one long text any number of times.

    Raises NotUtf8, and pyarrow's ArrowException for buffers that do not fit each other.
    """
    if pa.types.is_dictionary(array.type):
        dictionary = _to_binary(array.dictionary)
        coded = pa.DictionaryArray.from_arrays(array.indices, dictionary)
        coded.validate(full=True)
        lengths = _lengths(dictionary).take(coded.indices)
        take_bytes(pc.sum(lengths).as_py() or 0)
        binary = dictionary.cast(pa.binary()).take(coded.indices)
    else:
        binary = _to_binary(array)
        take_bytes(pc.sum(_lengths(binary)).as_py() or 0)
        binary = binary.cast(pa.binary())
    try:
        return binary.cast(pa.string())
    except pa.ArrowInvalid:
        raise _first_not_utf8(binary) from None


def _to_binary(array: pa.Array) -> pa.Array:
    binary = array.view(_BINARY_TYPES[array.type])
    binary.validate(full=True)
    if binary.type == pa.binary_view() and binary.null_count:
        # Of these neither validation nor Arrow's format says anything, but the cast follows them.
        validity, views, *texts = binary.buffers()
        end = binary.offset + len(binary)
        words = np.frombuffer(views, np.uint64, count=2 * end).reshape(-1, 2).copy()
        words[binary.offset :][_is_null(binary)] = 0
        buffers = [validity, pa.py_buffer(words), *texts]
        binary = pa.Array.from_buffers(binary.type, len(binary), buffers, offset=binary.offset)
    return binary


def _lengths(binary: pa.Array) -> pa.Array:
    """Each value's length, as int64."""
    if binary.type != pa.binary_view():
        return pc.binary_length(binary).cast(pa.int64())
    # There is no kernel for views; a view begins with the length, in four of its sixteen bytes.
    end = binary.offset + len(binary)
    lengths = np.frombuffer(binary.buffers()[1], np.int32, count=4 * end)[4 * binary.offset :: 4]
    return pa.array(lengths.astype(np.int64), mask=_is_null(binary))


def _is_null(array: pa.Array) -> npt.NDArray[np.bool_]:
    nulls: npt.NDArray[np.bool_] = array.is_null().to_numpy(zero_copy_only=False)
    return nulls


def _first_not_utf8(binary: pa.BinaryArray) -> NotUtf8:
    for place, value in enumerate(binary.to_pylist()):
        try:
            (value or b"").decode()
        except UnicodeDecodeError:
            return NotUtf8(place, value)
    raise AssertionError("pyarrow and Python disagree about UTF-8")
