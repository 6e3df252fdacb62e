"""An export over the wire: ordered, bounded, resumable at every batch, whole or visibly not."""

from collections.abc import Iterator
from pathlib import Path

import duckdb
import grpc
import pytest

from argus_grpc import bounds
from argus_grpc.v1.event_pb2 import Event, EventType
from argus_grpc.v1.export_pb2 import (
    Encoding,
    ExportSummary,
    Order,
    StreamEventsRequest,
    StreamEventsResponse,
)
from argus_grpc.v1.query_pb2 import EventQuery
from tests.conftest import RunningServer, start_server
from tests.synthetic import make_store

pytestmark = pytest.mark.duckdb

START = EventType.EVENT_TYPE_VIRTUAL_THREAD_START
FOUR_TYPES = EventType.values()[1:5]

ORDERS = {Order.ORDER_TIME: "timestamp, sequence", Order.ORDER_ARRIVAL: "sequence"}


@pytest.fixture(scope="module")
def skewed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """5,000 events that arrived out of order, most of them at a handful of timestamps."""
    events = [
        Event(
            timestamp=(i * 7919 % 5) * 1_000 if i % 10 else i * 7919 % 5000 * 10**15 - 10**18,
            event_type=FOUR_TYPES[i % 4],
            source="s",
            thread_name="x" * (i % 700),
        )
        for i in range(5000)
    ]
    for running in start_server(tmp_path_factory.mktemp("skewed")):
        running.ingest(events)
        yield running


@pytest.fixture
def small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "FIRST_WINDOW_ROWS", 7)
    monkeypatch.setattr(bounds, "MAX_WINDOW_ROWS", 150)


def stream(server: RunningServer, request: StreamEventsRequest) -> list[StreamEventsResponse]:
    answers = list(server.exports.StreamEvents(request))
    assert [answer.WhichOneof("payload") for answer in answers] == [
        "header",
        *["batch"] * (len(answers) - 2),
        "summary",
    ]
    return answers


def sequences(answers: list[StreamEventsResponse]) -> list[int]:
    return [event.sequence for answer in answers for event in answer.batch.rows.events]


@pytest.mark.usefixtures("small_windows")
@pytest.mark.parametrize("order", ORDERS)
def test_events_come_in_the_total_order_and_in_bounded_batches(
    skewed: RunningServer, order: "Order.ValueType"
) -> None:
    expected = skewed.sql(f"SELECT sequence FROM events ORDER BY {ORDERS[order]}")
    request = StreamEventsRequest(columns=["sequence", "thread_name"], order=order, max_batch_bytes=16 * 1024)

    answers = stream(skewed, request)

    assert sequences(answers) == [sequence for (sequence,) in expected]
    assert max(answer.ByteSize() for answer in answers) < 3 * 16 * 1024
    next_row = 0
    for answer in answers[1:-1]:
        assert answer.batch.first_row == next_row
        assert answer.batch.row_count == len(answer.batch.rows.events)
        next_row += answer.batch.row_count
    assert answers[-1].summary == ExportSummary(
        completeness=ExportSummary.COMPLETENESS_COMPLETE, total_rows=5000, watermark=5000
    )


@pytest.mark.usefixtures("small_windows")
@pytest.mark.parametrize("order", ORDERS)
def test_a_token_yields_exactly_the_rest_wherever_it_is_from(
    skewed: RunningServer, order: "Order.ValueType"
) -> None:
    request = StreamEventsRequest(
        query=EventQuery(event_types=FOUR_TYPES[:3]),
        columns=["sequence"],
        order=order,
        max_batch_bytes=16 * 1024,
    )
    answers = stream(skewed, request)
    whole = sequences(answers)

    for place in [0, *range(1, len(answers) - 1, 5), len(answers) - 2]:
        message = answers[place].header if place == 0 else answers[place].batch
        sent = len(sequences(answers[: place + 1]))
        again = StreamEventsRequest()
        again.CopyFrom(request)
        again.resume_token = message.resume_token
        rest = stream(skewed, again)
        assert sequences(rest) == whole[sent:]
        assert rest[0].header.first_row == sent
        assert rest[0].header.total_events == len(whole)
        assert rest[0].header.export_id == answers[0].header.export_id
        assert rest[-1].summary == answers[-1].summary


def test_a_limit_that_cuts_says_how_many_remain_and_its_token_goes_on(skewed: RunningServer) -> None:
    request = StreamEventsRequest(columns=["sequence"], limit=1200)
    first = stream(skewed, request)
    assert first[0].header.total_events == 1200
    assert first[-1].summary.completeness == ExportSummary.COMPLETENESS_TRUNCATED
    assert (first[-1].summary.total_rows, first[-1].summary.rows_remaining) == (1200, 3800)

    request.resume_token = first[-1].summary.continuation_token
    request.limit = 0
    rest = stream(skewed, request)
    assert rest[-1].summary.completeness == ExportSummary.COMPLETENESS_COMPLETE
    assert sequences(first) + sequences(rest) == sequences(
        stream(skewed, StreamEventsRequest(columns=["sequence"]))
    )


def test_a_limit_that_does_not_cut_is_complete(skewed: RunningServer) -> None:
    answers = stream(skewed, StreamEventsRequest(limit=5000))
    assert answers[-1].summary.completeness == ExportSummary.COMPLETENESS_COMPLETE
    assert answers[-1].summary.continuation_token == ""


def test_no_match_gives_header_and_summary(skewed: RunningServer) -> None:
    answers = stream(skewed, StreamEventsRequest(query=EventQuery(sources=["nowhere"])))
    assert len(answers) == 2
    assert answers[0].header.total_events == 0


def test_what_is_ingested_meanwhile_is_not_in_the_export_but_in_the_next(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounds, "FIRST_WINDOW_ROWS", 1)
    monkeypatch.setattr(bounds, "MAX_WINDOW_ROWS", 1)
    server.ingest([Event(timestamp=i * 10, event_type=START, source="s") for i in range(100)])
    running = server.exports.StreamEvents(StreamEventsRequest(columns=["sequence"]))
    head = [next(running), next(running)]
    late = server.ingest(
        [Event(timestamp=5, event_type=START, source="s"), Event(timestamp=995, event_type=START, source="s")]
    )

    assert sequences([*head, *running]) == list(range(1, 101))
    following = StreamEventsRequest(
        query=EventQuery(after_sequence=head[0].header.watermark), columns=["sequence"]
    )
    assert sequences(stream(server, following)) == list(late)


def test_rows_removed_under_a_running_export_end_it_by_name(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounds, "FIRST_WINDOW_ROWS", 1)
    monkeypatch.setattr(bounds, "MAX_WINDOW_ROWS", 1)
    server.ingest(
        [Event(timestamp=i, event_type=START, source="s", thread_name="x" * 100_000) for i in range(20)]
    )
    running = server.exports.StreamEvents(StreamEventsRequest(columns=["thread_name"]))
    token = next(running).header.resume_token
    server.sql("DELETE FROM events WHERE sequence >= 10")

    with pytest.raises(grpc.RpcError) as ending:
        list(running)
    assert ending.value.code() == grpc.StatusCode.FAILED_PRECONDITION
    assert "removed" in str(ending.value.details())
    with pytest.raises(grpc.RpcError) as refusal:
        list(server.exports.StreamEvents(StreamEventsRequest(columns=["thread_name"], resume_token=token)))
    assert refusal.value.code() == grpc.StatusCode.FAILED_PRECONDITION


@pytest.mark.parametrize("encoding", [Encoding.ENCODING_ROWS, Encoding.ENCODING_ARROW])
def test_no_batch_passes_the_message_limit_whatever_the_strings_hold(
    server: RunningServer, encoding: "Encoding.ValueType"
) -> None:
    for size in [0, 1, 3 * 1024 * 1024 - 100, 10, 2_600_000, 2_600_000, 0]:
        server.ingest([Event(timestamp=size, event_type=START, source="s", stack_trace="x" * size)])
    request = StreamEventsRequest(columns=["stack_trace"], encoding=encoding, max_batch_bytes=2 * 1024 * 1024)
    answers = stream(server, request)  # the client's limit is the default, which a larger batch would break
    assert answers[-1].summary.total_rows == 7


def test_cancelling_stops_the_query_and_frees_its_place(tmp_path: Path) -> None:
    make_store(tmp_path / "events.duckdb", rows=300_000)
    for running in start_server(tmp_path, max_exports=2):
        for _ in range(8):
            call = running.exports.StreamEvents(StreamEventsRequest(columns=["all"]))
            next(call)
            call.cancel()
        # All eight took one of two places; if any kept its own, these would wait, and in vain.
        call = running.exports.StreamEvents(StreamEventsRequest(columns=["sequence"]))
        assert list(call)[-1].summary.total_rows == 300_000


def test_a_full_size_export_equals_duckdbs_own_order(tmp_path: Path) -> None:
    """Windows at their real size, against the one global sort that they stand in for."""
    path = tmp_path / "events.duckdb"
    make_store(path, rows=600_000, seed=3)
    with duckdb.connect(path) as connection:
        expected = connection.execute("SELECT sequence FROM events ORDER BY timestamp, sequence").fetchall()
    for running in start_server(tmp_path):
        request = StreamEventsRequest(columns=["sequence"])
        assert sequences(stream(running, request)) == [sequence for (sequence,) in expected]
