"""Event messages → columns, without a Python object a value.

Parsed messages are whole and their text is UTF-8. Written again, they are in one form: known fields in
the order of their numbers, each at most once, varints as short as can be. So the columns are read one
after the other, each for all events at once: an event has the column if it goes on with its tag.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from argus_grpc.columns import COLUMNS_BY_NAME
from argus_grpc.errors import InvalidField
from argus_grpc.ingest.checks import MAX_EVENT_BYTES, SEQUENCE_ALLOWED, too_large
from argus_grpc.v1.event_pb2 import Event, Events
from argus_grpc.wire import WIRE_TYPES, WireType

_Places = npt.NDArray[np.int64]

_EVENT_TAG = Events.EVENTS_FIELD_NUMBER << 3 | WireType.LEN
_FIELDS_BY_TAG = {field.number << 3 | WIRE_TYPES[field.type]: field for field in Event.DESCRIPTOR.fields}
_NO_TAG = 0xFFFF

# What a read of eight bytes at the last event's end needs.
_PADDING = bytes(8)


def path(place: int, field: str) -> str:
    return f"rows.events[{place}]{'.' if field else ''}{field}"


def to_batch(data: bytes) -> pa.RecordBatch:
    """The events of an Events message, at least one, as stored columns, those that are set in any event.

    `data` is what protobuf made of a parsed message, or several such one after the other.

    Raises InvalidField, naming the first event that is over MAX_EVENT_BYTES or has a sequence.
    """
    reader = _Reader(data)
    sizes_bytes = reader.ends - reader.at
    columns = dict(reader.columns())
    if not reader.has_read_all():
        rows = Events.FromString(data)
        sizes_bytes = np.array([event.ByteSize() for event in rows.events])
        rows.DiscardUnknownFields()
        reader = _Reader(rows.SerializeToString())
        columns = dict(reader.columns())
        assert reader.has_read_all(), "protobuf wrote known fields in another order"
    _check_sizes_and_sequences(sizes_bytes, columns.get("sequence"))
    return pa.RecordBatch.from_arrays(list(columns.values()), names=list(columns))


def _check_sizes_and_sequences(sizes_bytes: _Places, sequence: pa.Int64Array | None) -> None:
    too_larges = np.flatnonzero(sizes_bytes > MAX_EVENT_BYTES)
    largest = int(too_larges[0]) if too_larges.size else None
    if sequence is not None:
        place = int(np.flatnonzero(sequence.is_valid())[0])
        if largest is None or place <= largest:
            raise InvalidField(path(place, "sequence"), sequence[place].as_py(), SEQUENCE_ALLOWED)
    if largest is not None:
        raise too_large(largest, int(sizes_bytes[largest]), path)


class _Reader:
    """Reads the events, at least one, off the bytes of an Events message (protobuf's encoding guide).

    at: where each event has been read up to.
    ends: where each event ends.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._bytes = np.frombuffer(data + _PADDING, np.uint8)
        self.at, self.ends = _bounds(data)
        self._tags = self._tags_at(self.at, self.ends)

    def has_read_all(self) -> bool:
        """False: there are fields that this version does not know."""
        return bool((self.at == self.ends).all()) and self.ends[-1] == len(self._data)

    def columns(self) -> Iterator[tuple[str, pa.Array]]:
        # Tags ascend as numbers do; what is read next is the least that any event has next.
        while (tag := int(self._tags.min())) in _FIELDS_BY_TAG:
            field, wire_type = _FIELDS_BY_TAG[tag], tag & 7
            here = np.flatnonzero(self._tags == tag)
            after_tag = self.at[here] + (1 if tag < 0x80 else 2)
            arrow_type = COLUMNS_BY_NAME[field.name].arrow_type
            if wire_type == WireType.LEN:
                lengths, starts = self._varints(after_tag)
                after = starts + lengths.view(np.int64)
                array = self._texts(starts, after, here)
            elif wire_type == WireType.I64:
                after = after_tag + 8
                array = self._numbers(self._words("<i8")[after_tag].view(arrow_type.to_pandas_dtype()), here)
            else:
                values, after = self._varints(after_tag)
                # A 32-bit value is written as a 64-bit one: the low half is the value.
                array = self._numbers(values.astype(arrow_type.to_pandas_dtype()), here)
            self.at[here] = after
            self._tags[here] = self._tags_at(after, self.ends[here])
            yield field.name, array

    def _words(self, type_: str) -> npt.NDArray[np.integer]:
        """The integer that begins at each byte."""
        dtype = np.dtype(type_)
        return np.ndarray((len(self._bytes) - dtype.itemsize + 1,), dtype, self._bytes, strides=(1,))

    def _tags_at(self, at: _Places, ends: _Places) -> npt.NDArray[np.integer]:
        """The tag at each place, of one byte or two; _NO_TAG at an end."""
        words = self._words("<u2")[at]
        tags = np.where(words & 0x80, words & 0x7F | words >> 1 & 0x7F80, words & 0x7F)
        return np.where(at == ends, _NO_TAG, tags)

    def _varints(self, at: _Places) -> tuple[npt.NDArray[np.uint64], _Places]:
        """The varint at each place, and where it ends."""
        byte = self._bytes[at]
        values = (byte & 0x7F).astype(np.uint64)
        after = at + 1
        longer = np.flatnonzero(byte & 0x80)
        shift = 7
        while longer.size:
            byte = self._bytes[after[longer]]
            values[longer] |= (byte & 0x7F).astype(np.uint64) << np.uint64(shift)
            after[longer] += 1
            longer = longer[byte > 0x7F]
            shift += 7
        return values, after

    def _numbers(self, values: npt.NDArray[np.generic], here: _Places) -> pa.Array:
        if len(here) == len(self.at):
            return pa.array(values)
        spread = np.zeros(len(self.at), values.dtype)
        spread[here] = values
        unset = np.ones(len(self.at), np.bool_)
        unset[here] = False
        return pa.array(spread, mask=unset)

    def _texts(self, starts: _Places, ends: _Places, here: _Places) -> pa.Array:
        # The message's bytes as text, then what is between it and the next, and so on.
        offsets = np.stack((starts, ends), axis=1).ravel().astype(np.int32)
        buffers = [None, pa.py_buffer(offsets), pa.py_buffer(self._data)]
        texts_and_gaps = pa.Array.from_buffers(pa.string(), len(offsets) - 1, buffers)
        return texts_and_gaps.take(self._numbers(np.arange(0, len(offsets), 2), here))


def _bounds(data: bytes) -> tuple[_Places, _Places]:
    """Where the events of an Events message begin and end, up to what is not an event."""
    starts, ends = [], []
    at = 0
    while at < len(data) and data[at] == _EVENT_TAG:
        length = data[at + 1]
        at += 2
        if length > 0x7F:
            length &= 0x7F
            shift = 7
            while (byte := data[at]) > 0x7F:
                length |= (byte & 0x7F) << shift
                at += 1
                shift += 7
            length |= byte << shift
            at += 1
        starts.append(at)
        at += length
        ends.append(at)
    return np.array(starts, np.int64), np.array(ends, np.int64)
