"""Ingest: whole or not at all, on disk when acknowledged, and every refusal names its place."""

from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo
from grpc_status import rpc_status

from argus_grpc.ingest import MAX_EVENT_BYTES
from argus_grpc.v1.event_pb2 import Event, Events, EventType
from argus_grpc.v1.export_pb2 import StreamEventsRequest
from argus_grpc.v1.ingest_pb2 import IngestEventsRequest
from tests.conftest import RunningServer

pytestmark = pytest.mark.duckdb

START = EventType.EVENT_TYPE_VIRTUAL_THREAD_START

GOOD = Event(timestamp=1, event_type=START, source="s")


def changed(**values: Any) -> Event:
    event = Event()
    event.CopyFrom(GOOD)
    event.MergeFrom(Event(**values))
    return event


def test_sequences_are_consecutive_and_in_the_order_of_the_batch(server: RunningServer) -> None:
    assert server.ingest([changed(thread_id=1), changed(thread_id=2)]) == range(1, 3)
    assert server.ingest([changed(thread_id=3)]) == range(3, 4)
    assert server.sql("SELECT sequence, thread_id FROM events ORDER BY sequence") == [(1, 1), (2, 2), (3, 3)]


@pytest.mark.parametrize(
    ("event", "field", "said"),
    [
        (Event(event_type=START, source="s"), "timestamp", "unset"),
        (Event(timestamp=1, source="s"), "event_type", "unset"),
        (Event(timestamp=1, event_type=START), "source", "unset"),
        (Event(timestamp=1, event_type=START, source=""), "source", "not empty"),
        (Event(timestamp=1, event_type=5, source="s"), "event_type", "VIRTUAL_THREAD_START (1)"),  # type: ignore[arg-type]
        (changed(sequence=7), "sequence", "the server gives it"),
        (changed(thread_id=0), "thread_id", "1 or more"),
        (changed(duration_ns=-1), "duration_ns", "-1 is not allowed; allowed: 0 or more"),
        (changed(line_number=-5), "line_number", "1 or more"),
        (changed(stack_trace="x" * MAX_EVENT_BYTES), "", f"at most {MAX_EVENT_BYTES} bytes"),
    ],
)
def test_a_refusal_names_event_and_field_and_stores_nothing(
    server: RunningServer, event: Event, field: str, said: str
) -> None:
    with pytest.raises(grpc.RpcError) as refusal:
        server.ingest([GOOD, GOOD, event])
    assert refusal.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    status = rpc_status.from_call(refusal.value)
    info, bad_request = ErrorInfo(), BadRequest()
    assert status.details[0].Unpack(info)
    assert status.details[1].Unpack(bad_request)
    assert (info.reason, info.domain) == ("INVALID_FIELD", "argus_grpc.v1")
    (violation,) = bad_request.field_violations
    assert violation.field == f"rows.events[2]{'.' if field else ''}{field}"
    assert said in violation.description
    assert server.sql("SELECT count(*) FROM events") == [(0,)]


@pytest.mark.parametrize("request_", [IngestEventsRequest(), IngestEventsRequest(rows=Events())])
def test_an_empty_batch_is_refused(server: RunningServer, request_: IngestEventsRequest) -> None:
    with pytest.raises(grpc.RpcError) as refusal:
        server.ingests.IngestEvents(request_)
    assert refusal.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "at least one event" in str(refusal.value.details())


def test_several_readers_read_while_one_writes(server: RunningServer) -> None:
    server.ingest([changed(thread_id=1 + i) for i in range(1000)])
    readers = [server.exports.StreamEvents(StreamEventsRequest()) for _ in range(4)]
    heads = [next(reader).header for reader in readers]
    server.ingest([GOOD])
    rows = [sum(answer.batch.row_count for answer in reader) for reader in readers]
    assert rows == [1000] * 4
    assert {head.watermark for head in heads} == {1000}
