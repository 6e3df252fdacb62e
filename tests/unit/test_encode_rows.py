"""ROWS, built column by column, is byte for byte what protobuf makes of messages built one by one."""

from collections.abc import Iterable, Sequence
from typing import Any

import google_crc32c
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from argus_grpc.columns import COLUMNS, COLUMNS_BY_NAME, STORED_SCHEMA, Column
from argus_grpc.encode import encode_batch, to_row_messages
from argus_grpc.v1.event_pb2 import Event, Events
from argus_grpc.v1.export_pb2 import ColumnType, Encoding, StreamEventsResponse
from tests.plain_messages import plain_messages
from tests.strategies import events

_MIB = 1024 * 1024
_INTEGERS = (ColumnType.COLUMN_TYPE_INT32, ColumnType.COLUMN_TYPE_INT64, ColumnType.COLUMN_TYPE_EVENT_TYPE)
_TEXT_NAMES = [c.name for c in COLUMNS if c.type == ColumnType.COLUMN_TYPE_STRING]


def stored(columns: Iterable[Column], events_: Sequence[Event]) -> pa.RecordBatch:
    """The events as the store gives them."""
    values = {
        column.name: pa.array(
            [getattr(e, column.name) if e.HasField(column.name) else None for e in events_],  # type: ignore[arg-type]
            column.arrow_type,
        )
        for column in columns
    }
    return pa.record_batch(values)


def one_column(name: str, values: Sequence[Any]) -> pa.RecordBatch:
    return pa.record_batch({name: pa.array(values, COLUMNS_BY_NAME[name].arrow_type)})


def assert_as_plain(batch: pa.RecordBatch) -> None:
    assert bytes(to_row_messages(batch)) == plain_messages(batch).SerializeToString(deterministic=True)


@settings(max_examples=150, deadline=None)
@given(
    columns=st.lists(st.sampled_from(COLUMNS), min_size=1, unique_by=lambda column: column.name),
    events_=st.lists(events(), max_size=12),
    start=st.integers(0, 12),
    length=st.integers(0, 12),
)
def test_any_columns_in_any_order_of_any_slice(
    columns: list[Column], events_: list[Event], start: int, length: int
) -> None:
    assert_as_plain(stored(columns, events_).slice(min(start, len(events_)), length))


@settings(max_examples=150, deadline=None)
@given(events_=st.lists(events(), min_size=1, max_size=12))
def test_every_column_and_the_parser_takes_it(events_: list[Event]) -> None:
    batch = stored(COLUMNS, events_)
    assert_as_plain(batch)
    parsed = Events.FromString(bytes(to_row_messages(batch)))
    # As bytes, since a NaN equals none.
    assert [e.SerializeToString(deterministic=True) for e in parsed.events] == [
        e.SerializeToString(deterministic=True) for e in events_
    ]


@pytest.mark.parametrize("column", [c for c in COLUMNS if c.type in _INTEGERS], ids=lambda c: str(c.name))
def test_numbers_of_every_varint_length(column: Column) -> None:
    bits = column.arrow_type.bit_width
    edges = [0, *(sign * 2**k - before for k in range(bits - 1) for sign in (1, -1) for before in (0, 1))]
    edges += [2 ** (bits - 1) - 1, -(2 ** (bits - 1))]
    # Together, with NULLs between, and each alone: what is computed depends on the greatest.
    assert_as_plain(one_column(column.name, [value for edge in edges for value in (edge, None)]))
    for edge in edges:
        assert_as_plain(one_column(column.name, [edge]))


@pytest.mark.parametrize("character", ["x", "é", "😀"])
def test_texts_of_every_length_that_matters(character: str) -> None:
    width = len(character.encode())
    lengths = [0, 1, *(edge // width + more for edge in (12, 127, 16_383, 2_097_151) for more in (-1, 0, 1))]
    texts = [character * length for length in lengths]
    assert_as_plain(one_column("thread_name", texts))
    assert_as_plain(one_column("thread_name", [text for each in texts for text in (None, each)]))


def test_long_texts_in_every_text_column() -> None:
    rows = 5
    batch = pa.record_batch(
        {
            name: [None if (row + place) % 3 == 0 else f"{name} {row} " * row for row in range(rows)]
            for place, name in enumerate(_TEXT_NAMES)
        }
    )
    for start in range(rows):
        assert_as_plain(batch.slice(start))


def test_a_row_of_megabytes_among_small_ones() -> None:
    events_ = [
        Event(sequence=1, stack_trace="a"),
        Event(sequence=2, stack_trace="b" * (3 * _MIB), method_name=""),
        Event(sequence=3),
    ]
    assert_as_plain(stored(COLUMNS, events_))


def test_what_lies_under_a_null_is_not_written() -> None:
    no_null = pa.array(["hidden, and longer than a view", "seen"])
    with_null = pa.Array.from_buffers(pa.string(), 2, [pa.py_buffer(b"\x02"), *no_null.buffers()[1:]])
    assert with_null.to_pylist() == [None, "seen"]
    assert_as_plain(pa.record_batch({"source": with_null}))


def test_zero_rows_are_no_bytes() -> None:
    assert bytes(to_row_messages(pa.RecordBatch.from_pylist([], STORED_SCHEMA))) == b""


def test_rows_of_nothing_but_nulls_are_empty_events() -> None:
    batch = pa.record_batch([pa.nulls(3, field.type) for field in STORED_SCHEMA], schema=STORED_SCHEMA)
    assert Events.FromString(bytes(to_row_messages(batch))) == Events(events=[Event()] * 3)
    assert_as_plain(batch)


def test_set_zeros_and_empty_texts_are_written() -> None:
    event = Event(event_type=0, thread_id=0, thread_name="", cpu_jvm_user=0.0, timestamp=0, line_number=0)  # type: ignore[arg-type]
    (parsed,) = Events.FromString(bytes(to_row_messages(stored(COLUMNS, [event])))).events
    assert parsed == event
    assert len(parsed.ListFields()) == 6


@pytest.mark.parametrize("encoding", [Encoding.ENCODING_UNSPECIFIED, Encoding.ENCODING_ROWS])
def test_a_batch_has_the_rows_and_their_checksum(encoding: "Encoding.ValueType") -> None:
    batch = stored(COLUMNS, [Event(sequence=7, thread_name="a" * 300), Event(sequence=8)])
    plain = plain_messages(batch)
    answer = StreamEventsResponse.FromString(encode_batch(batch, encoding, 6, "token").message)
    assert answer.batch.rows == plain
    assert answer.batch.crc32c == google_crc32c.value(plain.SerializeToString(deterministic=True))
    assert (answer.batch.first_row, answer.batch.row_count, answer.batch.resume_token) == (6, 2, "token")
