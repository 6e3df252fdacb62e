"""Exports while events come and go: exactly what was there, or refused by name; never short, or filled up."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pyarrow as pa
import pytest
from google.rpc.error_details_pb2 import ErrorInfo
from grpc_status import rpc_status

from argus_grpc.v1.event_pb2 import Event, EventType
from argus_grpc.v1.export_pb2 import (
    Encoding,
    ExportHeader,
    ExportSummary,
    Order,
    PlanExportRequest,
    StreamEventsRequest,
    StreamEventsResponse,
)
from argus_grpc.v1.query_pb2 import EventQuery
from tests.conftest import RunningServer, start_server
from tests.retaining import Clock

pytestmark = pytest.mark.duckdb

START = EventType.EVENT_TYPE_VIRTUAL_THREAD_START
END = EventType.EVENT_TYPE_VIRTUAL_THREAD_END
YEAR_S = 365 * 86_400.0
SMALL = 16 * 1024
_BATCH = 5_000


def timestamp_of(sequence: int) -> int:
    """Time order is another order than that of arrival."""
    return sequence * 7919 % 100_003


def type_of(sequence: int) -> "EventType.ValueType":
    return START if sequence % 3 else END


def event(sequence: int) -> Event:
    """The event that gets this sequence."""
    return Event(
        timestamp=timestamp_of(sequence),
        event_type=type_of(sequence),
        source="s",
        thread_id=sequence,
        # So wide that what gRPC holds on its way is a small part of an export.
        stack_trace="x" * (500 + sequence % 100),
    )


@contextmanager
def retaining(folder: Path) -> Iterator[tuple[RunningServer, Clock]]:
    """A server that keeps events for a year; `remove` makes years pass."""
    clock = Clock()
    # Windows of a thousand events or so, of which two are read ahead.
    for server in start_server(folder, retention="52w", export_memory="1MiB"):
        retention = server.server._store._retention
        assert retention is not None
        retention._clock = clock
        yield server, clock


def ingest(server: RunningServer, rows: int) -> None:
    end = server.server._store.watermark + rows + 1
    for first in range(end - rows, end, _BATCH):
        sequences = range(first, min(first + _BATCH, end))
        assert server.ingest([event(s) for s in sequences]) == sequences


def remove(server: RunningServer, clock: Clock, through: int) -> None:
    """Removes all events up to a sequence, through the retention's own ways."""
    retention = server.server._store._retention
    assert retention is not None
    clock.now_s += YEAR_S / 50
    with server.server._store._database.cursor() as cursor:
        cursor.execute("INSERT INTO argus_arrivals VALUES (?, ?)", [through, clock.now_s - YEAR_S])
    retention.look()
    assert server.server._store.removed_through == through


class Read:
    """What a stream gave, and how it ended."""

    def __init__(self, responses: "Iterator[StreamEventsResponse]") -> None:
        self.sequences: list[int] = []
        self.summary: ExportSummary | None = None
        self.reason = ""
        self.token = ""
        self._responses = responses
        self.header: ExportHeader = next(responses).header

    def to_end(self) -> "Read":
        try:
            for response in self._responses:
                self._take(response)
        except grpc.RpcError as error:
            status = rpc_status.from_call(error)
            assert status is not None
            info = ErrorInfo()
            assert status.details[0].Unpack(info)
            assert status.code == grpc.StatusCode.FAILED_PRECONDITION.value[0], status.message
            self.reason = info.reason
        return self

    def one(self) -> "Read":
        self._take(next(self._responses))
        return self

    def _take(self, response: StreamEventsResponse) -> None:
        if response.HasField("summary"):
            self.summary = response.summary
            return
        assert response.batch.first_row == self.header.first_row + len(self.sequences)
        with pa.ipc.open_stream(response.batch.arrow) as stream:
            self.sequences += stream.read_all()["sequence"].to_pylist()
        self.token = response.batch.resume_token


def read(server: RunningServer, **request: Any) -> Read:
    request.setdefault("max_batch_bytes", SMALL)
    request.setdefault("columns", ["sequence", "stack_trace"])
    request.setdefault("encoding", Encoding.ENCODING_ARROW)
    return Read(server.exports.StreamEvents(StreamEventsRequest(**request)))


def expected(header: ExportHeader, limit: int = 0) -> list[int]:
    """What an export with this header has to hold, by nothing but the record of what was ingested."""
    types = set(header.query.event_types)
    sequences = [
        s
        for s in range(max(header.removed_events, header.query.after_sequence) + 1, header.watermark + 1)
        if not types or type_of(s) in types
    ]
    if header.order == Order.ORDER_TIME:
        sequences.sort(key=lambda s: (timestamp_of(s), s))
    return sequences[:limit] if limit else sequences


@pytest.mark.parametrize("order", [Order.ORDER_TIME, Order.ORDER_ARRIVAL])
@pytest.mark.parametrize("limit", [0, 15_000])
@pytest.mark.parametrize("types", [[], [START]])
def test_an_export_ends_by_name_when_events_that_were_to_come_are_removed(
    tmp_path: Path, order: "Order.ValueType", limit: int, types: list["EventType.ValueType"]
) -> None:
    with retaining(tmp_path) as (server, clock):
        ingest(server, 25_000)
        export = read(server, order=order, limit=limit, query=EventQuery(event_types=types)).one()
        wanted = expected(export.header, limit)
        assert export.header.total_events == len(wanted)
        remove(server, clock, 20_000)
        export.to_end()
        assert (export.reason, export.summary) == ("EVENTS_REMOVED", None)
        assert export.sequences == wanted[: len(export.sequences)]
        again = read(server, order=order, limit=limit, query=EventQuery(event_types=types)).to_end()
        assert again.header.removed_events == 20_000
        assert again.sequences == expected(again.header, limit)


def test_what_has_been_sent_may_go(tmp_path: Path) -> None:
    with retaining(tmp_path) as (server, clock):
        ingest(server, 25_000)
        export = read(server, order=Order.ORDER_ARRIVAL).one()
        remove(server, clock, len(export.sequences))
        assert export.to_end().sequences == expected(export.header)
        assert export.summary is not None


def test_a_resumed_export_is_refused_when_some_of_the_rest_is_gone(tmp_path: Path) -> None:
    with retaining(tmp_path) as (server, clock):
        ingest(server, 20_000)
        begun = read(server, order=Order.ORDER_ARRIVAL).one()
        remove(server, clock, len(begun.sequences))
        rest = read(server, order=Order.ORDER_ARRIVAL, resume_token=begun.token).to_end()
        assert begun.sequences + rest.sequences == expected(begun.header)
        remove(server, clock, len(begun.sequences) + 1)
        with pytest.raises(grpc.RpcError) as refusal:
            read(server, order=Order.ORDER_ARRIVAL, resume_token=begun.token)
        assert refusal.value.code() == grpc.StatusCode.FAILED_PRECONDITION


def test_a_plan_and_the_next_export_say_what_is_gone(tmp_path: Path) -> None:
    with retaining(tmp_path) as (server, clock):
        ingest(server, 1_000)
        remove(server, clock, 400)
        plan = server.exports.PlanExport(PlanExportRequest())
        assert (plan.total_events, plan.watermark, plan.removed_events) == (600, 1_000, 400)
        assert read(server).to_end().header.removed_events == 400
        remove(server, clock, 1_000)
        plan = server.exports.PlanExport(PlanExportRequest())
        assert (plan.total_events, plan.watermark, plan.removed_events) == (0, 1_000, 1_000)
        empty = read(server).to_end()
        assert (empty.sequences, empty.header.removed_events) == ([], 1_000)


def test_exports_of_every_kind_under_continuous_ingest_and_removal(tmp_path: Path) -> None:
    kinds: list[dict[str, Any]] = [
        {"order": Order.ORDER_TIME},
        {"order": Order.ORDER_ARRIVAL},
        {"order": Order.ORDER_TIME, "limit": 3_000},
        {"order": Order.ORDER_ARRIVAL, "query": EventQuery(event_types=[END])},
        {"order": Order.ORDER_TIME, "query": EventQuery(event_types=[END], after_sequence=1)},
    ]
    whole = 0
    codes = set()
    stop = threading.Event()
    with retaining(tmp_path) as (server, clock), ThreadPoolExecutor(1) as ingesting:

        def come_and_go() -> None:
            while not stop.is_set():
                ingest(server, 2_000)
                if server.server._store.watermark > 30_000:
                    remove(server, clock, server.server._store.watermark - 30_000)

        coming = ingesting.submit(come_and_go)
        try:
            for turn in range(40):
                kind = kinds[turn % len(kinds)]
                if "query" in kind and kind["query"].after_sequence:
                    # Of what is not removed before it begins.
                    kind["query"].after_sequence = max(1, server.server._store.watermark - 9_000)
                export = read(server, **kind)
                wanted = expected(export.header, kind.get("limit", 0))
                assert export.header.total_events == len(wanted)
                if turn % 4 == 3 and wanted:
                    # Cut, and resumed: the same rest, or refused.
                    try:
                        token = export.one().token
                        rest = read(server, **kind | {"limit": 0}, resume_token=token).to_end()
                    except grpc.RpcError as error:
                        codes.add(error.code())
                        continue
                    got = export.sequences + rest.sequences
                    assert (got == expected(export.header)) == (rest.reason == "")
                    continue
                export.to_end()
                assert export.sequences == wanted[: len(export.sequences)]
                if export.summary is None:
                    assert export.reason == "EVENTS_REMOVED"
                else:
                    assert export.sequences == wanted
                    whole += 1
        finally:
            stop.set()
        coming.result()
        assert server.server._store.removed_through > 0
    assert whole
    assert codes <= {grpc.StatusCode.FAILED_PRECONDITION}
