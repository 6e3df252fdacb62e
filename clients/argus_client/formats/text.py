"""Columns of events as columns of text, a whole batch at a time."""

from collections.abc import Mapping
from enum import Enum, auto
from functools import lru_cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from argus_client.formats import records
from argus_client.formats.arrow import Mask, as_string, mask_of, number, stored_numbers, text_buffer
from argus_client.formats.options import TimePrecision
from argus_client.formats.pieces import Choice, Rows, Sparse, Values
from argus_client.formats.records import Records

_FRACTION_DIGITS: Mapping[TimePrecision, int | None] = {"auto": None, "s": 0, "ms": 3, "us": 6, "ns": 9}
# Integers that lie close together are few texts that rows share.
_MAX_NUMBER_CHOICES = 64
_MAX_SHARED_TEXTS = 64


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


def instants(array: pa.Array, precision: TimePrecision) -> Records:
    """RFC 3339 without the final Z, from timestamps in ns, with 0, 3, 6 or 9 fractional digits.

    A fixed precision cuts finer digits off, which is toward the past before 1970 too.
    """
    ns = stored_numbers(array.view(pa.int64()))
    return records.instants(ns, _FRACTION_DIGITS[precision])


def numbers(array: pa.Array, *, non_finite: str | None = None) -> Choice | Records | Values | Sparse:
    """The shortest text that reads back as the same number.

    non_finite: stands for nan, inf and -inf; None: they are written as such.
    """
    if is_mostly_null(array):
        return Sparse("", rows_of(array), _number_texts(array.drop_null(), non_finite))
    if pa.types.is_integer(array.type):
        # What is stored for NULL may make the range wider than it is; to leave it out would cost more.
        integers = stored_numbers(array)
        least, greatest = int(integers.min()), int(integers.max())
        if greatest - least < _MAX_NUMBER_CHOICES:
            return Choice(_integer_texts(least, greatest), (integers - least).astype(np.uint8))
        if least >= 0:
            return records.decimals(integers, greatest)
    return Values(without_nulls(_number_texts(array, non_finite)))


def _number_texts(array: pa.Array, non_finite: str | None) -> pa.StringArray:
    text = as_string(array)
    if pa.types.is_floating(array.type):
        if pc.any(pc.equal(array, number(0.0, array.type))).as_py():
            # A reader that takes -0 for an integer would lose the sign.
            text = pc.if_else(pc.equal(text, "-0"), "-0.0", text)
        finite = pc.is_finite(array)
        if non_finite is not None and not pc.all(finite).as_py():
            text = pc.if_else(finite, text, non_finite)
    return text


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


def mask_of_values(column: pa.Array) -> Mask | None:
    """Where the column is not NULL; None: everywhere."""
    return mask_of(column.is_valid()) if column.null_count else None


def rows_of(column: pa.Array) -> Rows:
    """The rows in which the column is not NULL."""
    return np.flatnonzero(mask_of(column.is_valid()))


def is_mostly_null(column: pa.Array) -> bool:
    """Whether it is cheaper to write its values alone, as Sparse."""
    return bool(column.null_count > len(column) * 3 // 4)


def texts_of(text: pa.StringArray) -> Values | Sparse:
    """The texts, NULL as empty."""
    if is_mostly_null(text):
        return Sparse("", rows_of(text), text.drop_null())
    return Values(without_nulls(text))


def decoded(array: pa.Array) -> pa.StringArray:
    """Text as plain strings, whether it came as such or as a dictionary."""
    if pa.types.is_dictionary(array.type):
        array = array.dictionary.take(array.indices)
    return array if pa.types.is_string(array.type) else as_string(array)


def shared_texts(array: pa.Array) -> Choice | None:
    """A dictionary of few texts as such, with any of them for NULL; None for any other array."""
    if not pa.types.is_dictionary(array.type):
        return None
    if len(array.dictionary) > _MAX_SHARED_TEXTS or array.dictionary.null_count:
        return None
    places = stored_numbers(array.indices)
    mask = mask_of_values(array)
    if mask is not None:
        # What is stored for NULL may be no place.
        places = places * mask
    return Choice(tuple(array.dictionary.to_pylist()), places.astype(np.uint8))


def utf8_of(name: str, text: pa.StringArray) -> bytes:
    """The bytes of all values, one behind the other. Raises ValueError if they are not UTF-8."""
    data: bytes = text_buffer(text).to_pybytes()
    if not data.isascii():
        try:
            text.validate(full=True)
        except pa.ArrowInvalid as error:
            raise ValueError(f"column {name}: the text is not UTF-8") from error
    return data
