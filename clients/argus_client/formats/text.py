"""Columns of events as columns of text, a whole batch at a time."""

from dataclasses import dataclass
from datetime import date
from enum import Enum, auto
from functools import lru_cache

import pyarrow as pa
import pyarrow.compute as pc

from argus_client.formats.arrow import as_int32, as_string, int32, number, string_array
from argus_client.formats.options import TimePrecision
from argus_client.times import INT64_MIN

_FRACTION_DIGITS = {"s": 0, "ms": 3, "us": 6, "ns": 9}
_SECONDS = "2024-01-01T00:00:00"
_NS_PER_DAY = 86_400 * 10**9
_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
_END = 2**31 - 1
# Integers that lie close together are few texts that rows share.
_MAX_NUMBER_CHOICES = 64
_MAX_SHARED_TEXTS = 64


@dataclass(frozen=True)
class Choice:
    """A column of few different texts, and which each row has: int32 places among them, or NULL."""

    texts: tuple[str, ...]
    places: pa.Int32Array

    def affixed(self, before: str, after: str) -> "Choice":
        """With text before and after each. NULL stays NULL."""
        return Choice(_each_affixed(self.texts, before, after), self.places)

    def without_nulls(self) -> "Choice":
        """With the empty text for NULL."""
        if not self.places.null_count:
            return self
        return Choice((*self.texts, ""), self.places.fill_null(int32(len(self.texts))))


@dataclass(frozen=True)
class Values:
    """A text for each row; no NULL. `instead`: a mask, and what stands for the texts where it is
    true, in order."""

    texts: pa.StringArray
    instead: tuple[pa.BooleanArray, pa.StringArray] | None = None


@dataclass(frozen=True)
class Sparse:
    """One text for most rows, and others where the mask is true, in order."""

    usual: str
    mask: pa.BooleanArray
    others: pa.StringArray

    def affixed(self, before: str, after: str) -> "Sparse":
        """With text before and after each."""
        others = affixed(self.others, before, after)
        return Sparse(f"{before}{self.usual}{after}", self.mask, others)


# Kept, since one batch most often has the texts of the one before.
@lru_cache(maxsize=256)
def _each_affixed(texts: tuple[str, ...], before: str, after: str) -> tuple[str, ...]:
    return tuple(f"{before}{text}{after}" for text in texts)


@lru_cache(maxsize=256)
def _integer_texts(least: int, greatest: int) -> tuple[str, ...]:
    return tuple(map(str, range(least, greatest + 1)))


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


def instants(array: pa.Array, precision: TimePrecision) -> tuple[str, Values]:
    """RFC 3339 without the final Z: what all begin with, and the rest of each.

    From timestamps in ns, with 0, 3, 6 or 9 fractional digits. A fixed precision cuts finer digits
    off, which is toward the past before 1970 too.
    """
    start, text = _full_instants(array)
    # Views, not casts, between string and binary: a cast to string checks the UTF-8 again.
    text = text.view(pa.binary())
    seconds_chars = len(_SECONDS) - len(start)
    if precision != "auto":
        return start, Values(_cut(text, seconds_chars, _FRACTION_DIGITS[precision]).view(pa.string()))
    rounder = pc.ends_with(text, b"000")
    values = without_nulls(text.view(pa.string()))
    if not pc.any(rounder).as_py():
        return start, Values(values)
    shorter = _shortened(_cut(text.filter(rounder), seconds_chars, 6), seconds_chars, 6)
    if rounder.null_count:
        rounder = pc.and_(without_validity(rounder), rounder.is_valid())
    return start, Values(values, (rounder, shorter.view(pa.string())))


def _full_instants(array: pa.Array) -> tuple[str, pa.StringArray]:
    ns = array.view(pa.int64())
    extent = pc.min_max(ns).as_py()
    # Most batches are of one day, and a time of day is quicker to write.
    day = extent["min"] // _NS_PER_DAY
    midnight = day * _NS_PER_DAY
    if extent["max"] < midnight + _NS_PER_DAY and midnight >= INT64_MIN:
        since_midnight = pc.subtract(ns, number(midnight, pa.int64())).view(pa.time64("ns"))
        return f"{date.fromordinal(_EPOCH_ORDINAL + day)}T", as_string(since_midnight)
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


def numbers(array: pa.Array, *, non_finite: str | None = None) -> Choice | Values:
    """The shortest text that reads back as the same number.

    non_finite: stands for nan, inf and -inf; None: they are written as such.
    """
    if pa.types.is_integer(array.type):
        # What is stored for NULL may make it wider than it is; to leave it out takes ten times as long.
        extent = pc.min_max(without_validity(array)).as_py()
        least, greatest = extent["min"], extent["max"]
        if greatest - least < _MAX_NUMBER_CHOICES:
            places = as_int32(pc.subtract(array, number(least, array.type)))
            return Choice(_integer_texts(least, greatest), places)
    text = as_string(array)
    if pa.types.is_floating(array.type):
        if pc.any(pc.equal(array, number(0.0, array.type))).as_py():
            # A reader that takes -0 for an integer would lose the sign.
            text = pc.if_else(pc.equal(text, "-0"), "-0.0", text)
        finite = pc.is_finite(array)
        if non_finite is not None and not pc.all(finite).as_py():
            text = pc.if_else(finite, text, non_finite)
    return Values(without_nulls(text))


def without_nulls(text: pa.StringArray) -> pa.StringArray:
    """With the empty string for NULL."""
    if not text.null_count:
        return text
    # Almost always nothing is stored for NULL, though Arrow's format allows it.
    stored = without_validity(text)
    lengths = pc.binary_length(stored).filter(text.is_null())
    return stored if pc.max(lengths).as_py() == 0 else text.fill_null("")


def without_validity(array: pa.Array) -> pa.Array:
    """What is stored, for NULL too."""
    buffers = [None, *array.buffers()[1:]]
    return pa.Array.from_buffers(array.type, len(array), buffers, null_count=0, offset=array.offset)


def without_most_nulls(column: pa.Array) -> tuple[pa.Array, bool | pa.BooleanArray]:
    """The column, and where it has values; without its NULLs if they are most of it."""
    if not column.null_count:
        return column, True
    mask = column.is_valid()
    return (column.drop_null() if column.null_count > len(column) * 3 // 4 else column), mask


def as_strings(column: Choice | Values) -> pa.StringArray:
    """The text of each row."""
    if isinstance(column, Choice):
        return string_array(column.texts).take(column.places)
    if column.instead is None:
        return column.texts
    return pc.replace_with_mask(column.texts, *column.instead)


def conditional(text: str, mask: bool | pa.BooleanArray) -> str | Choice:
    """The text where the mask is true."""
    if isinstance(mask, bool):
        return text if mask else ""
    return Choice(("", text), as_int32(mask))


def decoded(array: pa.Array) -> pa.StringArray:
    """Text as plain strings, whether it came as such or as a dictionary."""
    if pa.types.is_dictionary(array.type):
        array = array.dictionary.take(array.indices)
    return array if pa.types.is_string(array.type) else as_string(array)


def shared_texts(array: pa.Array) -> Choice | None:
    """A dictionary of few texts as such; None for any other array."""
    if not pa.types.is_dictionary(array.type):
        return None
    if len(array.dictionary) > _MAX_SHARED_TEXTS or array.dictionary.null_count:
        return None
    return Choice(tuple(array.dictionary.to_pylist()), as_int32(array.indices))


def utf8_of(name: str, text: pa.StringArray) -> bytes:
    """The bytes of all values, one behind the other. Raises ValueError if they are not UTF-8."""
    data: bytes = text_buffer(text).to_pybytes()
    if not data.isascii():
        try:
            text.validate(full=True)
        except pa.ArrowInvalid as error:
            raise ValueError(f"column {name}: the text is not UTF-8") from error
    return data


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
