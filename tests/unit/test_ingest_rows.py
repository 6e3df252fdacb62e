"""Event messages → columns, against the protobuf parser: whatever the wire has, in whatever order."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from argus_grpc.columns import COLUMNS
from argus_grpc.errors import InvalidField
from argus_grpc.ingest.rows import to_batch
from argus_grpc.v1.event_pb2 import Event, Events
from tests.strategies import events

EVENTS = events([column for column in COLUMNS if column.name != "sequence"])

# Fields that this version does not know, of every wire type, by number and by type: 32, then 2047 in
# three bytes of tag, then timestamp as a varint.
UNKNOWN_FIELDS = (
    b"\x82\x02\x01x",
    b"\xf8\x7f\x05",
    b"\xfd\x7f1234",
    b"\x83\x02\x08\x01\x84\x02",
    b"\x10\x07",
)


def columns_of(rows: Events) -> dict[str, list[object]]:
    """What the columns must be, field by field."""
    columns: dict[str, list[object]] = {}
    for column in COLUMNS:
        values = [getattr(e, column.name) if e.HasField(column.name) else None for e in rows.events]  # type: ignore[arg-type]
        if any(value is not None for value in values):
            columns[column.name] = [_comparable(value) for value in values]
    return columns


def _comparable(value: object) -> object:
    # Told apart: 0.0 and -0.0; equal: NaN and NaN.
    if isinstance(value, float):
        return "NaN" if math.isnan(value) else (value, math.copysign(1, value))
    return value


@settings(max_examples=150, deadline=None)
@given(rows=st.lists(EVENTS, min_size=1, max_size=6))
def test_every_value_and_every_unset_field_is_kept(rows: list[Event]) -> None:
    batch = to_batch(Events(events=rows).SerializeToString())
    got = {name: [_comparable(value) for value in batch[name].to_pylist()] for name in batch.schema.names}
    assert got == columns_of(Events(events=rows))
    for column in COLUMNS:
        if column.name in got:
            assert batch[column.name].type == column.arrow_type


@settings(max_examples=150, deadline=None)
@given(
    parts=st.lists(
        st.lists(st.one_of(EVENTS.map(Event.SerializeToString), st.sampled_from(UNKNOWN_FIELDS)), max_size=4),
        min_size=1,
        max_size=4,
    ),
    after=st.sampled_from((b"", *UNKNOWN_FIELDS[1:])),
)
def test_unknown_and_repeated_fields_in_any_order(parts: list[list[bytes]], after: bytes) -> None:
    # Messages joined are one message in which a field that comes again has its last value.
    wire = b"".join(b"\x0a" + _varint(len(body)) + body for body in map(b"".join, parts)) + after
    expected = columns_of(Events.FromString(wire))
    batch = to_batch(Events.FromString(wire).SerializeToString())
    assert {
        name: [_comparable(v) for v in batch[name].to_pylist()] for name in batch.schema.names
    } == expected


def test_the_first_event_with_a_sequence_is_named() -> None:
    rows = Events(events=[Event(timestamp=1), Event(sequence=0), Event(sequence=7)])
    with pytest.raises(InvalidField, match=r"rows\.events\[1\]\.sequence: 0 is not allowed"):
        to_batch(rows.SerializeToString())


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*encoded, number])
