"""follow=true over the wire: the snapshot, then every new event as it is committed, and none passed over."""

import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo
from grpc_status import rpc_status

from argus_grpc import bounds, follow
from argus_grpc.bounds import MemoryBudget
from argus_grpc.columns import choose_columns
from argus_grpc.errors import Cancelled
from argus_grpc.export import ExportRequest
from argus_grpc.follow import Exporter, Reached
from argus_grpc.tokens import TokenMaker
from argus_grpc.v1.event_pb2 import Event, EventType
from argus_grpc.v1.export_pb2 import (
    ExportSummary,
    Order,
    PlanExportRequest,
    StreamEventsRequest,
    StreamEventsResponse,
)
from argus_grpc.v1.export_pb2_grpc import ExportServiceStub
from argus_grpc.v1.query_pb2 import EventQuery
from tests.conftest import RunningServer, start_server
from tests.granting import unrestricted
from tests.processes import server_process

pytestmark = pytest.mark.duckdb

START = EventType.EVENT_TYPE_VIRTUAL_THREAD_START
PATIENCE_S = 30.0


def events(*timestamps: int, source: str = "s", name: str = "") -> list[Event]:
    return [Event(timestamp=t, event_type=START, source=source, thread_name=name) for t in timestamps]


def following(server: RunningServer, request: StreamEventsRequest | None = None, **fields: Any) -> Any:
    """A call that follows, of the column sequence unless the request names others."""
    asked = StreamEventsRequest(columns=["sequence"], follow=True, **fields)
    if request is not None:
        asked.MergeFrom(request)
    return server.exports.StreamEvents(asked, timeout=PATIENCE_S)


def until(stream: Any, condition: Callable[[StreamEventsResponse], bool]) -> list[StreamEventsResponse]:
    """The messages up to the first that fulfils the condition."""
    messages = []
    for message in stream:
        messages.append(message)
        if condition(message):
            return messages
    raise AssertionError("the stream ended")


def is_progress(message: StreamEventsResponse) -> bool:
    return message.HasField("progress")


def up_to(rows: int) -> Callable[[StreamEventsResponse], bool]:
    """Whether so many rows have come with this message."""
    return lambda message: message.batch.first_row + message.batch.row_count == rows


def sequences(messages: Sequence[StreamEventsResponse]) -> list[int]:
    return [event.sequence for message in messages for event in message.batch.rows.events]


def reason_of(error: grpc.RpcError, detail: Message | None = None) -> str:
    details = rpc_status.from_call(error).details
    info = ErrorInfo()
    assert details[0].Unpack(info)
    assert detail is None or details[1].Unpack(detail)
    return str(info.reason)


def test_after_the_snapshot_come_new_events_as_they_arrived(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nothing but the commits wakes it in time.
    monkeypatch.setattr(follow, "HEARTBEAT_S", 2 * PATIENCE_S)
    server.ingest(events(30, 10, 20))
    stream = following(server)
    snapshot = until(stream, is_progress)
    assert [message.WhichOneof("payload") for message in snapshot] == ["header", "batch", "progress"]
    head, end = snapshot[0].header, snapshot[-1].progress
    assert sequences(snapshot) == [2, 3, 1]
    assert (head.total_events, head.watermark, head.order) == (3, 3, Order.ORDER_TIME)
    assert (end.rows_sent, end.watermark) == (3, 3)

    for timestamps in ([5, 25, 15], [1]):
        last = server.ingest(events(*timestamps))[-1]
        new = until(stream, up_to(last))
        assert sequences(new) == list(range(last - len(timestamps) + 1, last + 1))
        assert not any(message.HasField("header") for message in new)
    stream.cancel()


def test_only_what_matches_comes(server: RunningServer) -> None:
    stream = following(server, query=EventQuery(sources=["a"], after_sequence=1))
    until(stream, is_progress)
    server.ingest([*events(1, source="a"), *events(2, source="b"), *events(3, source="a")])
    assert sequences(until(stream, up_to(1))) == [3]
    server.ingest(events(1, 2, source="b"))
    server.ingest(events(3, source="a"))
    assert sequences(until(stream, up_to(2))) == [6]
    stream.cancel()


def test_a_sign_of_life_comes_while_there_is_nothing_to_send(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "HEARTBEAT_S", 0.02)
    server.ingest(events(1, source="a"))
    stream = following(server, query=EventQuery(sources=["a"]))
    until(stream, is_progress)
    # Nothing is committed at all.
    idle = [next(stream).progress for _ in range(3)]
    assert [(beat.rows_sent, beat.watermark) for beat in idle] == [(1, 1)] * 3
    # What is committed does not match.
    watermark = server.ingest(events(2, 3, source="b"))[-1]
    beats = until(stream, lambda message: message.progress.watermark == watermark)
    assert all(is_progress(message) for message in beats)
    assert beats[-1].progress.rows_sent == 1
    stream.cancel()
    # Its token is behind those, whatever becomes of them.
    remove_through(server, watermark)
    again = following(server, query=EventQuery(sources=["a"]), resume_token=beats[-1].progress.resume_token)
    server.ingest(events(4, source="a"))
    assert sequences(until(again, up_to(2))) == [4]
    again.cancel()


def remove_through(server: RunningServer, sequence: int) -> None:
    server.sql(f"DELETE FROM events WHERE sequence <= {sequence}")
    server.sql(f"UPDATE argus_removed SET through = {sequence}")


@pytest.fixture
def many_batches(monkeypatch: pytest.MonkeyPatch) -> StreamEventsRequest:
    """A request that has the 40 events of a round come in several windows and batches."""
    monkeypatch.setattr(bounds, "FIRST_WINDOW_ROWS", 16)
    monkeypatch.setattr(bounds, "MAX_WINDOW_ROWS", 16)
    return StreamEventsRequest(columns=["thread_name"], max_batch_bytes=16 * 1024)


def test_every_token_gives_exactly_the_rest_followed_or_not(
    server: RunningServer, many_batches: StreamEventsRequest
) -> None:
    """Not followed it is the rest of what was under way, and a summary: so one is ended whole."""
    server.ingest(events(*range(40, 0, -1), name="x" * 2_000))
    stream = following(server, many_batches)
    messages = until(stream, is_progress)
    for _ in range(2):
        last = server.ingest(events(*range(40, 0, -1), name="x" * 2_000))[-1]
        messages += until(stream, up_to(last))
    stream.cancel()
    whole = sequences(messages)
    assert whole == [*range(40, 0, -1), *range(41, 121)]
    assert len(messages) > 12

    for place, message in enumerate(messages):
        token = getattr(message, str(message.WhichOneof("payload"))).resume_token
        sent = len(sequences(messages[: place + 1]))
        end = max(-(-sent // 40), 1) * 40  # of the snapshot or round that the token is of
        request = StreamEventsRequest(columns=["sequence"], resume_token=token)
        request.MergeFrom(many_batches)
        head, *rest, last_ = server.exports.StreamEvents(request)
        assert (head.header.first_row, head.header.total_events, head.header.watermark) == (sent, end, end)
        assert head.header.export_id == messages[0].header.export_id
        assert sequences(rest) == whole[sent:end]
        assert last_.summary == ExportSummary(
            completeness=ExportSummary.COMPLETENESS_COMPLETE, total_rows=end, watermark=end
        )

        again = following(server, many_batches, resume_token=token)
        went_on = until(again, is_progress if sent == 120 else up_to(120))
        again.cancel()
        assert sequences(went_on) == whole[sent:]


def test_the_token_of_an_export_like_any_other_can_be_followed_on(server: RunningServer) -> None:
    server.ingest(events(2, 1))
    head = next(server.exports.StreamEvents(StreamEventsRequest(columns=["sequence"]))).header
    server.ingest(events(0))
    stream = following(server, resume_token=head.resume_token)
    assert sequences(until(stream, up_to(3))) == [2, 1, 3]
    stream.cancel()


def test_a_round_that_is_ended_by_a_limit_says_what_remains(
    server: RunningServer, many_batches: StreamEventsRequest
) -> None:
    stream = following(server, many_batches)
    token = until(stream, is_progress)[-1].progress.resume_token
    server.ingest(events(*range(40), name="x" * 2_000))
    token = until(stream, lambda message: message.HasField("batch"))[-1].batch.resume_token
    stream.cancel()
    request = StreamEventsRequest(columns=["sequence"], resume_token=token, limit=1)
    request.MergeFrom(many_batches)
    head, only, last = server.exports.StreamEvents(request)
    assert only.batch.row_count == 1
    assert last.summary.rows_remaining == 40 - head.header.first_row - 1 > 0


def test_events_that_were_removed_before_they_were_sent_end_it_by_name(server: RunningServer) -> None:
    server.ingest(events(1))
    stream = following(server)
    token = until(stream, is_progress)[-1].progress.resume_token
    stream.cancel()
    server.ingest(events(2, 3))
    remove_through(server, 2)

    stream = following(server, resume_token=token)
    with pytest.raises(grpc.RpcError) as ending:
        list(stream)
    assert ending.value.code() == grpc.StatusCode.FAILED_PRECONDITION
    assert reason_of(ending.value) == "EVENTS_REMOVED"

    head = next(following(server)).header
    assert (head.removed_events, head.total_events) == (2, 1)
    assert server.exports.PlanExport(PlanExportRequest()).removed_events == 2


def test_an_older_copy_of_the_store_is_not_followed_on(server: RunningServer) -> None:
    """It would give sequences that have been sent to other events, and they would be passed over."""
    server.ingest(events(1, 2, source="b"))
    stream = following(server, query=EventQuery(sources=["a"]))
    token = until(stream, is_progress)[-1].progress.resume_token
    stream.cancel()
    server.server._store._watermark = 1
    with pytest.raises(grpc.RpcError) as refusal:
        next(following(server, query=EventQuery(sources=["a"]), resume_token=token))
    assert reason_of(refusal.value) == "EVENTS_REMOVED"


def test_a_limit_is_refused(server: RunningServer) -> None:
    with pytest.raises(grpc.RpcError) as refusal:
        next(following(server, limit=3))
    bad_request = BadRequest()
    assert reason_of(refusal.value, bad_request) == "INVALID_FIELD"
    (violation,) = bad_request.field_violations
    assert violation.field == "limit"
    assert violation.description == "3 is not allowed; allowed: 0 (no limit) where follow is set"


@pytest.fixture
def one_slot(tmp_path: Path) -> Iterator[RunningServer]:
    yield from start_server(tmp_path, max_exports=1)


def test_calling_it_off_frees_its_slot(one_slot: RunningServer, monkeypatch: pytest.MonkeyPatch) -> None:
    # Nothing but the cancelling itself would wake it in time.
    monkeypatch.setattr(follow, "HEARTBEAT_S", 2 * PATIENCE_S)
    for _ in range(5):
        deadline_s = time.monotonic() + PATIENCE_S
        while (stream := _started(one_slot)) is None:
            assert time.monotonic() < deadline_s
        stream.cancel()


def _started(server: RunningServer) -> Any:
    """A follower that waits for events; None if there is no slot for it."""
    stream = following(server)
    try:
        until(stream, is_progress)
    except grpc.RpcError as error:
        if error.code() is not grpc.StatusCode.RESOURCE_EXHAUSTED:
            raise
        return None
    return stream


def test_a_server_that_stops_ends_it_at_once_to_be_resumed(tmp_path: Path) -> None:
    # A grace time that the test's patience would not outlast.
    with (
        server_process(tmp_path / "events.duckdb", "--shutdown-grace-s", "600") as server,
        grpc.insecure_channel(server.address) as channel,
    ):
        stream = ExportServiceStub(channel).StreamEvents(StreamEventsRequest(follow=True))
        until(stream, is_progress)
        assert server.stop(signal.SIGTERM) == 0
        with pytest.raises(grpc.RpcError) as ending:
            list(stream)
    assert ending.value.code() == grpc.StatusCode.UNAVAILABLE
    assert ending.value.details() == "the server is stopping; resume to go on"
    assert reason_of(ending.value) == "STORE_UNAVAILABLE"


def test_while_it_waits_it_holds_no_memory_and_nothing_of_the_database(server: RunningServer) -> None:
    budget = MemoryBudget(1_000)
    request = ExportRequest(
        granted=unrestricted(EventQuery()),
        columns=choose_columns(["sequence"]),
        order=Order.ORDER_TIME,
        max_rows=None,
        max_batch_bytes=1024 * 1024,
    )
    exporter = Exporter(request, server.server._store, TokenMaker(b"k" * 32, 60), budget)
    server.ingest(events(1, 2))
    with budget.share() as share:
        with exporter.export() as export:
            assert share() == 500
            assert sum(batch.events.num_rows for batch in export.batches()) == 2
        assert share() == 1_000
        parts = exporter.follow(export)
        assert isinstance(next(parts), Reached)
        server.ingest(events(3))
        assert not isinstance(next(parts), Reached)
        assert share() == 500
        ended: list[type[Exception]] = []

        def wait() -> None:
            try:
                next(parts)
            except Cancelled as error:
                ended.append(type(error))

        waiting = threading.Thread(target=wait)
        waiting.start()
        deadline_s = time.monotonic() + PATIENCE_S
        while share() != 1_000:
            assert time.monotonic() < deadline_s
        exporter.cancel()
        waiting.join()
        assert ended == [Cancelled]
