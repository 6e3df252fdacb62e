"""Columns of events as columns of text, a whole batch at a time."""

from datetime import date
from enum import Enum, auto

import pyarrow as pa
import pyarrow.compute as pc

from argus_client.formats.options import TimePrecision
from argus_client.times import INT64_MIN

_FRACTION_DIGITS = {"s": 0, "ms": 3, "us": 6, "ns": 9}
_SECONDS = "2024-01-01T00:00:00"
_NS_PER_DAY = 86_400 * 10**9
_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
_END = 2**31 - 1


class Kind(Enum):
    """What a column's values are, as far as writing them goes."""

    TEXT = auto()
    NUMBER = auto()
    INSTANT = auto()


def kind_of(name: str, type_: pa.DataType) -> Kind:
    """Raises ValueError for a type that no column of events has."""
    if pa.types.is_dictionary(type_):
        type_ = type_.value_type
    if pa.types.is_string(type_) or pa.types.is_large_string(type_):
        return Kind.TEXT
    if pa.types.is_integer(type_) or pa.types.is_floating(type_):
        return Kind.NUMBER
    if type_ == pa.timestamp("ns", "UTC"):
        return Kind.INSTANT
    raise ValueError(
        f"column {name}: values of type {type_} cannot be written; "
        'allowed: strings, numbers and timestamp("ns", "UTC")'
    )


def instants(array: pa.Array, precision: TimePrecision) -> tuple[str, pa.StringArray]:
    """RFC 3339 without the final Z: what all begin with, and the rest of each.

    From timestamps in ns, with 0, 3, 6 or 9 fractional digits. A fixed precision cuts finer digits
    off, which is toward the past before 1970 too.
    """
    start, text = _full_instants(array)
    # Views, not casts, between string and binary: a cast to string checks the UTF-8 again.
    text = text.view(pa.binary())
    seconds_chars = len(_SECONDS) - len(start)
    if precision == "auto":
        text = _shortened(text, seconds_chars, 9)
    else:
        text = _cut(text, seconds_chars, _FRACTION_DIGITS[precision])
    return start, text.view(pa.string())


def _full_instants(array: pa.Array) -> tuple[str, pa.StringArray]:
    ns = array.view(pa.int64())
    extent = pc.min_max(ns).as_py()
    if extent["min"] is not None:
        # Most batches are of one day, and a time of day is quicker to write.
        day = extent["min"] // _NS_PER_DAY
        midnight = day * _NS_PER_DAY
        if extent["max"] < midnight + _NS_PER_DAY and midnight >= INT64_MIN:
            since_midnight = pc.subtract(ns, midnight).view(pa.time64("ns"))
            return f"{date.fromordinal(_EPOCH_ORDINAL + day)}T", since_midnight.cast(pa.string())
    # Without a time zone the cast needs no look-up in the zone's table: 40 times as fast.
    text = ns.view(pa.timestamp("ns")).cast(pa.string())
    return "", pc.binary_replace_slice(text, 10, 11, "T")


def _cut(text: pa.BinaryArray, seconds_chars: int, fraction_digits: int) -> pa.BinaryArray:
    return pc.binary_slice(text, 0, seconds_chars + (1 + fraction_digits if fraction_digits else 0))


def _shortened(text: pa.BinaryArray, seconds_chars: int, fraction_digits: int) -> pa.BinaryArray:
    """Without the groups of three zeros at the end; few values or all may have them."""
    rounder = pc.ends_with(text, b"000")
    if not fraction_digits or not pc.any(rounder).as_py():
        return text
    digits = fraction_digits - 3
    if pc.all(rounder).as_py():
        return _shortened(_cut(text, seconds_chars, digits), seconds_chars, digits)
    shorter = _shortened(_cut(text.filter(rounder), seconds_chars, digits), seconds_chars, digits)
    return pc.replace_with_mask(text, rounder, shorter)


def numbers(array: pa.Array) -> pa.StringArray:
    """The shortest text that reads back as the same number; nan, inf and -inf as such."""
    text = array.cast(pa.string())
    if pa.types.is_floating(array.type) and pc.any(pc.equal(array, 0.0)).as_py():
        # A reader that takes -0 for an integer would lose the sign.
        text = pc.if_else(pc.equal(text, "-0"), "-0.0", text)
    return text


def decoded(array: pa.Array) -> pa.StringArray:
    """Text as plain strings, whether it came as such or as a dictionary."""
    if pa.types.is_dictionary(array.type):
        array = array.dictionary.take(array.indices)
    return array.cast(pa.string())


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
    places = memoryview(offsets).cast("i")
    start, stop = places[array.offset], places[array.offset + len(array)]
    return data.slice(start, stop - start)
