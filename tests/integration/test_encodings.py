"""Any event that goes in comes out equal, in both encodings."""

import math
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from argus_grpc.columns import COLUMNS
from argus_grpc.v1.event_pb2 import Event, EventType
from argus_grpc.v1.export_pb2 import Encoding, Order, StreamEventsRequest
from argus_grpc.v1.query_pb2 import EventQuery
from tests.conftest import RunningServer
from tests.strategies import events

pytestmark = pytest.mark.duckdb


def _as_ingest_takes_it(event: Event) -> Event:
    for column in COLUMNS:
        if column.minimum is not None and column.name in _set_fields(event):
            setattr(event, column.name, max(getattr(event, column.name), column.minimum))
    event.source = event.source or "source"
    return event


INGESTIBLE_EVENTS = events(
    [column for column in COLUMNS if column.name != "sequence"],
    required=("timestamp", "event_type", "source"),
).map(_as_ingest_takes_it)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batch=st.lists(INGESTIBLE_EVENTS, min_size=1, max_size=8))
def test_events_come_back_equal(shared_server: RunningServer, batch: list[Event]) -> None:
    sequences = shared_server.ingest(batch)
    stored = [_with_sequence(event, sequence) for event, sequence in zip(batch, sequences, strict=True)]
    request = StreamEventsRequest(
        query=EventQuery(after_sequence=sequences[0] - 1), columns=["all"], order=Order.ORDER_ARRIVAL
    )

    rows = [
        event
        for message in shared_server.exports.StreamEvents(request)
        for event in message.batch.rows.events
    ]
    assert [_comparable(event) for event in rows] == [_comparable(event) for event in stored]

    request.encoding = Encoding.ENCODING_ARROW
    tables = [
        pa.ipc.open_stream(message.batch.arrow).read_all()
        for message in shared_server.exports.StreamEvents(request)
        if message.HasField("batch")
    ]
    assert [_comparable(_from_arrow(row)) for row in _rows(tables)] == [
        _comparable(event) for event in stored
    ]


def _set_fields(event: Event) -> set[str]:
    return {field.name for field, _ in event.ListFields()}


def _with_sequence(event: Event, sequence: int) -> Event:
    stored = Event(sequence=sequence)
    stored.MergeFrom(event)
    return stored


def _comparable(event: Event) -> dict[str, object]:
    values = {field.name: value for field, value in event.ListFields()}
    return {
        name: "NaN" if isinstance(value, float) and math.isnan(value) else value
        for name, value in values.items()
    }


def _rows(tables: list[pa.Table]) -> list[dict[str, Any]]:
    table = pa.concat_tables(tables)
    assert table.schema.names == [column.name for column in COLUMNS]
    # Python's datetime has no nanoseconds, so the instants are compared as integers.
    place = table.schema.get_field_index("timestamp")
    assert table.schema.field(place).type == pa.timestamp("ns", tz="UTC")
    rows: list[dict[str, Any]] = table.set_column(
        place, "timestamp", table["timestamp"].cast(pa.int64())
    ).to_pylist()
    return rows


def _from_arrow(row: dict[str, Any]) -> Event:
    values = {name: value for name, value in row.items() if value is not None}
    values["event_type"] = EventType.Value(f"EVENT_TYPE_{values['event_type']}")
    return Event(**values)
