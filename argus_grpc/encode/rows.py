"""ROWS: stored events → the bytes of an Events message, column by column.

Tags, numbers and the lengths of strings take at most twelve bytes each. They are computed for all rows
at once, in 64-bit words, and joined with their neighbours while twelve bytes hold both. An element of
Arrow's binary view layout holds just as many; a longer one points into a buffer, as the strings do. So
everything becomes one array of views, row after row, and one cast to plain binary writes it out.

The bytes are those of protobuf's deterministic serialization: fields in the order of their numbers,
varints as short as can be.
"""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from google.protobuf.descriptor import FieldDescriptor

from argus_grpc.v1.event_pb2 import Event, Events
from argus_grpc.wire import WIRE_TYPES, WireType

# uint64 always; but numpy's type stubs take one shifted by an int for signed.
_Words: TypeAlias = npt.NDArray[np.integer]

_FIELDS = sorted(Event.DESCRIPTOR.fields, key=lambda field: field.number)
_EVENTS_FIELD = Events.DESCRIPTOR.fields_by_number[Events.EVENTS_FIELD_NUMBER]

# What a view holds in itself, and where its first word has its length (Arrow's columnar format,
# "Variable-size Binary View Layout").
_MAX_VIEW_BYTES = 12
_VIEW_LENGTH_BITS = 0xFFFF_FFFF

_WORD_BYTES = 8
_NOTHING: _Words = np.zeros(1, np.uint64)

# By a varint's length: what marks its bytes but the last, as far as one word has them.
_CONTINUATION_BITS = np.array(
    [int.from_bytes(b"\x80" * min(length - 1, _WORD_BYTES), "little") for length in range(11)], np.uint64
)


@dataclass(frozen=True)
class _Short:
    """Up to `max_length` bytes a row, 12 at most: the first eight in `low`, little-endian, the others in
    `high`, zeros after a row's `length`. An array of one element is for all rows."""

    low: _Words
    high: _Words
    length: _Words
    max_length: int

    def then(self, after: "_Short") -> "_Short":
        """These bytes and then those of `after`; no more than 12 together."""
        # numpy shifts by 64 bits and more to zero; a difference below zero wraps around to such a shift.
        shift = self.length << 3
        low = self.low | after.low << shift
        max_length = self.max_length + after.max_length
        high = _NOTHING
        if max_length > _WORD_BYTES:
            high = self.high | after.low >> 64 - shift | after.low << shift - 64 | after.high << shift
        return _Short(low, high, self.length + after.length, max_length)

    def spread(self, rows: npt.NDArray[np.intp], row_count: int) -> "_Short":
        """Of so many rows, those at `rows` have these bytes, the others none."""
        high = _spread(self.high, rows, row_count) if self.max_length > _WORD_BYTES else _NOTHING
        low, length = (_spread(words, rows, row_count) for words in (self.low, self.length))
        return _Short(low, high, length, self.max_length)

    def views(self) -> tuple[_Words, _Words]:
        """The two words of each row's view: its length and first four bytes, then the other eight."""
        return self.length | self.low << 32, self.low >> 32 | self.high << 32


@dataclass(frozen=True)
class _Text:
    """Strings of any length, as the two words of their views."""

    first: _Words
    second: _Words

    @property
    def length(self) -> _Words:
        return self.first & _VIEW_LENGTH_BITS

    def spread(self, rows: npt.NDArray[np.intp], row_count: int) -> "_Text":
        """Of so many rows, those at `rows` have these strings, the others none."""
        return _Text(_spread(self.first, rows, row_count), _spread(self.second, rows, row_count))

    def views(self) -> tuple[_Words, _Words]:
        return self.first, self.second


_Part: TypeAlias = _Short | _Text


def to_row_messages(events: pa.RecordBatch) -> pa.Buffer:
    """The batch as a serialized `Events` message, NULL as unset.

    `events` has columns of the schema, in any order, as the store gives them; at most 2 GiB.
    """
    row_count = events.num_rows
    columns = dict(zip(events.schema.names, events.columns, strict=True))
    parts: list[_Part] = []
    text_buffers: list[pa.Buffer] = []
    for field in _FIELDS:
        column = columns.get(field.name)
        if column is not None and column.null_count < row_count:
            parts += _column_parts(field, column, text_buffers)

    event_length = sum((part.length for part in parts), start=np.zeros(row_count, np.uint64))
    head = _tag(_EVENTS_FIELD, WireType.LEN).then(_varint(event_length))
    total_length = int((head.length + event_length).sum())
    return _write(_join([head, *parts]), text_buffers, row_count).slice(0, total_length)


def _column_parts(field: FieldDescriptor, column: pa.Array, text_buffers: list[pa.Buffer]) -> list[_Part]:
    """The field with its tag, nothing where it is NULL. Adds the buffers that texts point into."""
    values = column.drop_null()
    wire_type = WIRE_TYPES[field.type]
    tag = _tag(field, wire_type)
    parts: list[_Part]
    match wire_type:
        case WireType.VARINT:
            # Negative numbers are sign-extended to 64 bits, whatever the field's type.
            numbers = values.to_numpy().astype(np.int64, copy=False).view(np.uint64)
            parts = [tag.then(_varint(numbers))]
        case WireType.I64:
            words = values.to_numpy().view(np.uint64)
            parts = [tag.then(_Short(words, _NOTHING, np.array([_WORD_BYTES], np.uint64), _WORD_BYTES))]
        case WireType.LEN:
            text = _text(values, text_buffers)
            parts = [tag.then(_varint(text.length)), text]
    if column.null_count:
        rows = np.flatnonzero(column.is_valid().to_numpy(zero_copy_only=False))
        parts = [part.spread(rows, len(column)) for part in parts]
    return parts


def _tag(field: FieldDescriptor, wire_type: WireType) -> _Short:
    """At most two bytes, up to field 2047: before a varint of ten, twelve."""
    return _varint(np.array([field.number << 3 | wire_type], np.uint64))


def _varint(numbers: _Words) -> _Short:
    """Seven bits a byte, the least significant first; in all bytes but the last, bit 7 is set."""
    bit_length = int(numbers.max(initial=0)).bit_length()
    max_length = max(1, -(-bit_length // 7))
    length = np.ones(len(numbers), np.uint8)
    for shorter in range(1, max_length):
        length += numbers >= 1 << 7 * shorter

    # The lower 56 bits part into halves of a word by 28, those into quarters by 14, those into bytes by 7.
    low: _Words = numbers
    if bit_length > 28:
        low = low & 0x0000_0000_0FFF_FFFF | (low & 0x00FF_FFFF_F000_0000) << 4
    if bit_length > 14:
        low = low & 0x0000_3FFF_0000_3FFF | (low & 0x0FFF_C000_0FFF_C000) << 2
    if bit_length > 7:
        low = low & 0x007F_007F_007F_007F | (low & 0x3F80_3F80_3F80_3F80) << 1
        low |= _CONTINUATION_BITS.take(length)
    high: _Words = _NOTHING
    if bit_length > 56:
        # The tenth byte has bit 63 alone, which in the ninth says that there is a tenth.
        high = numbers >> 56 | numbers >> 63 << 8
    return _Short(low, high, length.astype(np.uint64), max_length)


def _text(values: pa.Array, text_buffers: list[pa.Buffer]) -> _Text:
    """Strings without NULL. Adds the buffers that their views point into."""
    views = values.cast(pa.binary_view())
    _, words, *buffers = views.buffers()
    pairs = np.frombuffer(words, np.uint64).reshape(-1, 2)[views.offset :][: len(views)]
    first, second = np.ascontiguousarray(pairs.T)
    # A view of more than 12 bytes has the number of the buffer in the lower half of its second word.
    is_long = (first & _VIEW_LENGTH_BITS) > _MAX_VIEW_BYTES
    second += is_long * np.uint64(len(text_buffers))
    text_buffers += buffers
    return _Text(first, second)


def _spread(words: _Words, rows: npt.NDArray[np.intp], row_count: int) -> _Words:
    spread = np.zeros(row_count, np.uint64)
    spread[rows] = words
    return spread


def _join(parts: list[_Part]) -> list[_Part]:
    """The same bytes in fewer parts."""
    joined = parts[:1]
    for part in parts[1:]:
        match joined[-1], part:
            case (_Short() as last, _Short()) if last.max_length + part.max_length <= _MAX_VIEW_BYTES:
                joined[-1] = last.then(part)
            case _:
                joined.append(part)
    return joined


def _write(parts: list[_Part], text_buffers: list[pa.Buffer], row_count: int) -> pa.Buffer:
    """The bytes of all parts of the first row, then those of the second, and so on."""
    words = np.empty((row_count, len(parts), 2), np.uint64)
    for place, part in enumerate(parts):
        words[:, place, 0], words[:, place, 1] = part.views()
    buffers = [None, pa.py_buffer(words), *text_buffers]
    views = pa.Array.from_buffers(pa.binary_view(), row_count * len(parts), buffers)
    return views.cast(pa.binary()).buffers()[-1]
