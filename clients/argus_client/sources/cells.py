"""Columns of a CSV export's cells as columns of the schema, for all rows of a block at once.

What the fast way does not take is read cell by cell, which takes more spellings, and finds the first
that does not fit.
"""

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from google.protobuf.descriptor import FieldDescriptor

from argus_client.sources.objects import parse_event_type_code, parse_instant, whole_number

_INSTANT = pa.timestamp("ns", "UTC")
_WHOLE_NUMBER = re.compile(r"-?\d{1,19}", re.ASCII)
_ALLOWED_DOUBLE = "a number, nan, inf or -inf"

# What the formula guard of --excel puts a ' before.
_GUARDED = r"^'[=+\-@\t\r]"
_GUARD_CHARACTERS = 1


class BadCell(ValueError):
    """A cell that does not fit: its row, from 0, its text and what is allowed."""

    def __init__(self, row: int, text: str, allowed: str) -> None:
        super().__init__(allowed)
        self.row = row
        self.text = text
        self.allowed = allowed


def to_texts(cells: pa.BinaryArray) -> pa.StringArray:
    """The cells as text. Raises BadCell for one that is not UTF-8."""
    try:
        return cells.cast(pa.string())
    except pa.ArrowInvalid:
        for row, cell in enumerate(cells.to_pylist()):
            try:
                (cell or b"").decode()
            except UnicodeDecodeError:
                raise BadCell(row, cell.decode(errors="backslashreplace"), "UTF-8") from None
        raise


def without_guards(texts: pa.StringArray) -> tuple[pa.StringArray, int]:
    """The texts without the formula guard's ', and how many had it."""
    guarded = pc.match_substring_regex(texts, _GUARDED)
    count = pc.sum(guarded).as_py() or 0
    return pc.if_else(guarded, pc.utf8_slice_codeunits(texts, _GUARD_CHARACTERS), texts), count


def to_column(field: FieldDescriptor, texts: pa.StringArray) -> pa.Array:
    """The values of these texts. Raises BadCell."""
    convert = _CONVERTERS.get(field.type)
    return texts if convert is None else convert(texts)


def _instants(texts: pa.StringArray) -> pa.Array:
    try:
        return texts.cast(_INSTANT)
    except pa.ArrowInvalid:
        return _each(texts, _parse_instant, pa.int64()).view(_INSTANT)


def _parse_instant(text: str) -> int:
    return parse_instant(int(text) if _WHOLE_NUMBER.fullmatch(text) else text)


def _event_types(texts: pa.StringArray) -> pa.Array:
    names = texts.dictionary_encode()
    try:
        codes = _each(names.dictionary, parse_event_type_code, pa.int32())
    except BadCell as error:
        raise BadCell(pc.index(texts, error.text).as_py(), error.text, error.allowed) from None
    return codes.take(names.indices)


def _integers(type_: pa.DataType) -> Callable[[pa.StringArray], pa.Array]:
    number = whole_number(type_.bit_width)

    def parse(text: str) -> int:
        # Text that is no number is refused with the range as well.
        return number(int(text) if _WHOLE_NUMBER.fullmatch(text) else text)

    def convert(texts: pa.StringArray) -> pa.Array:
        # Arrow takes hexadecimal digits too.
        if not pc.any(pc.match_substring(texts, "x", ignore_case=True)).as_py():
            try:
                return texts.cast(type_)
            except pa.ArrowInvalid:
                pass
        return _each(texts, parse, type_)

    return convert


def _doubles(texts: pa.StringArray) -> pa.Array:
    try:
        return texts.cast(pa.float64())
    except pa.ArrowInvalid:
        return _each(texts, _parse_double, pa.float64())


def _parse_double(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(_ALLOWED_DOUBLE) from None


def _each(texts: pa.StringArray, parse: Callable[[str], Any], type_: pa.DataType) -> pa.Array:
    values = []
    for row, text in enumerate(texts.to_pylist()):
        try:
            values.append(None if text is None else parse(text))
        except ValueError as error:
            raise BadCell(row, text, str(error)) from None
    return pa.array(values, type_)


_CONVERTERS: Mapping[int, Callable[[pa.StringArray], pa.Array]] = MappingProxyType(
    {
        FieldDescriptor.TYPE_SFIXED64: _instants,
        FieldDescriptor.TYPE_ENUM: _event_types,
        FieldDescriptor.TYPE_INT32: _integers(pa.int32()),
        FieldDescriptor.TYPE_INT64: _integers(pa.int64()),
        FieldDescriptor.TYPE_DOUBLE: _doubles,
    }
)
