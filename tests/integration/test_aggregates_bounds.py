"""What a grouping may take of the server: one at a time, stopped when nobody waits for it, and no more
memory or disk than there is for it."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pyarrow as pa
import pytest
from google.rpc.error_details_pb2 import QuotaFailure, RetryInfo
from grpc_status import rpc_status

from argus_client import ExportClient, LimitExceeded
from argus_grpc.config import Config
from argus_grpc.errors import Cancelled, TooLarge
from argus_grpc.server import Server
from argus_grpc.store import DuckDbStore, Grouped
from argus_grpc.store.disk import DiskSpace
from argus_grpc.v1.aggregate_pb2 import GroupBy
from argus_grpc.v1.event_pb2 import Event, Events, EventType
from argus_grpc.v1.export_pb2 import PlanExportRequest, StreamAggregatesRequest, StreamEventsRequest
from argus_grpc.v1.export_pb2_grpc import ExportServiceStub
from argus_grpc.v1.ingest_pb2 import IngestEventsRequest
from argus_grpc.v1.ingest_pb2_grpc import IngestServiceStub
from tests.conftest import RunningServer, start_server
from tests.processes import peak_bytes, server_process
from tests.synthetic import make_store

pytestmark = pytest.mark.duckdb

MIB = 1024 * 1024
BY_THREAD = StreamAggregatesRequest(group_by=[GroupBy(column="thread_name")])
SCHEMA = pa.schema([("value", pa.int64())])
# Would take days.
ENDLESS = "SELECT sum(i * i % 7)::BIGINT AS value, count(*) AS events FROM range(1_000_000_000_000_000) t(i)"


def threads(count: int, text: str = "") -> list[Event]:
    return [
        Event(
            timestamp=i,
            event_type=EventType.EVENT_TYPE_VIRTUAL_THREAD_START,
            source="s",
            thread_name=f"{i}{text}",
        )
        for i in range(count)
    ]


@contextmanager
def grouper_held(store: DuckDbStore) -> Iterator[threading.Event]:
    """The thread that groups is busy until the event is set, or the block is left."""
    release = threading.Event()
    store._groupers.submit(release.wait)
    try:
        yield release
    finally:
        release.set()


@pytest.fixture
def quick_heartbeats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("argus_grpc.service.HEARTBEAT_S", 0.01)


@pytest.mark.usefixtures("quick_heartbeats")
def test_progress_comes_while_events_are_grouped(server: RunningServer) -> None:
    server.ingest(threads(10))
    with grouper_held(server.server._store) as release:
        messages = server.exports.StreamAggregates(BY_THREAD)
        for _ in range(3):
            assert next(messages).progress.watermark == 10
        release.set()
        kinds = [message.WhichOneof("payload") for message in messages]
    assert kinds[-3:] == ["header", "batch", "summary"]
    assert {*kinds[:-3]} <= {"progress"}


@pytest.mark.usefixtures("quick_heartbeats")
def test_the_client_takes_progress_before_the_header(server: RunningServer) -> None:
    server.ingest(threads(10))
    with grouper_held(server.server._store) as release, ExportClient(server.address) as client:
        export = client.aggregate(group_by="thread_name", measures="count")
        for _ in range(3):
            assert export._stream.advance() is None
        assert export._stream.resume_point is None
        release.set()
        assert export.to_arrow().num_rows == 10


@pytest.mark.usefixtures("quick_heartbeats")
def test_exports_and_plans_do_not_wait_for_a_grouping_and_one_called_off_leaves_nothing(
    server: RunningServer,
) -> None:
    server.ingest(threads(10))
    with grouper_held(server.server._store):
        waiting = server.exports.StreamAggregates(BY_THREAD)
        assert next(waiting).HasField("progress")
        assert server.exports.PlanExport(PlanExportRequest()).total_events == 10
        assert list(server.exports.StreamEvents(StreamEventsRequest()))[-1].summary.total_rows == 10
        waiting.cancel()
    assert list(server.exports.StreamAggregates(BY_THREAD))[-1].summary.total_rows == 10


def test_one_called_off_between_batches_frees_its_slot_and_its_file(tmp_path: Path) -> None:
    for server in start_server(tmp_path, max_exports=1):
        for _ in range(2):
            server.ingest(threads(10_000, "x" * 300))
        for _ in range(3):
            messages = server.exports.StreamAggregates(BY_THREAD)
            assert next(messages).HasField("header")
            assert next(messages).HasField("batch")
            messages.cancel()
        assert list(server.exports.StreamAggregates(BY_THREAD))[-1].summary.total_rows == 10_000


@pytest.mark.usefixtures("quick_heartbeats")
def test_it_takes_a_slot_as_an_export_does(tmp_path: Path) -> None:
    for server in start_server(tmp_path, max_exports=1, max_queued=0):
        server.ingest(threads(10))
        with grouper_held(server.server._store):
            running = server.exports.StreamAggregates(BY_THREAD)
            assert next(running).HasField("progress")
            with pytest.raises(grpc.RpcError) as refused:
                list(server.exports.StreamEvents(StreamEventsRequest()))
            assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
            assert str(refused.value.details()).startswith("max_exports: ")
        assert list(running)[-1].summary.total_rows == 10


@pytest.fixture
def store(tmp_path: Path) -> Iterator[DuckDbStore]:
    store = DuckDbStore(tmp_path / "events.duckdb", 96 * MIB)
    try:
        yield store
    finally:
        store.close()


def grouped(store: DuckDbStore, sql: str, *, disk: DiskSpace | None = None) -> Grouped:
    return Grouped(store._database, store._groupers, sql, store._folder, disk)


def test_a_running_query_is_stopped(store: DuckDbStore) -> None:
    with grouped(store, ENDLESS) as endless:
        computing = endless.compute(SCHEMA, lambda batch: iter([batch]), 0, None)
        while endless._reads._running is None:
            pass
    with pytest.raises(Cancelled):
        computing.result(timeout=0)


def test_more_memory_than_the_database_may_use_is_refused_by_name(store: DuckDbStore) -> None:
    with grouped(store, "SELECT len(list(i)) AS value, 1 AS events FROM range(500_000_000) t(i)") as groups:
        computing = groups.compute(SCHEMA, lambda batch: iter([batch]), 0, None)
        with pytest.raises(TooLarge, match="memory_limit: the groups need more memory"):
            computing.result()


def test_more_disk_than_there_is_is_refused_by_name(store: DuckDbStore, tmp_path: Path) -> None:
    full = DiskSpace(tmp_path, reserve_bytes=1 << 60)
    with grouped(store, "SELECT i AS value, 1 AS events FROM range(10) t(i)", disk=full) as groups:
        computing = groups.compute(SCHEMA, lambda batch: iter([batch]), 0, None)
        with pytest.raises(TooLarge, match="disk_space: the groups need more disk"):
            computing.result()


def test_groups_wait_in_a_file_without_a_name_for_a_slow_reader(tmp_path: Path) -> None:
    for server in start_server(tmp_path):
        before = {path.name for path in tmp_path.iterdir()}
        for _ in range(4):
            server.ingest(threads(10_000, "x" * 200))
        messages = server.exports.StreamAggregates(BY_THREAD)
        assert next(messages).header.aggregation.total_groups == 10_000
        assert {path.name for path in tmp_path.iterdir()} <= {*before, "events.duckdb.wal"}
        # Retention gets its moment alone: nothing of the database is in use.
        with server.server._store._database.alone(timeout_s=10) as cursor:
            assert cursor is not None
        assert sum(message.batch.row_count for message in messages) == 10_000


def test_what_a_server_without_a_disk_keeps_of_groups_is_bounded_by_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("argus_grpc.store.grouped._MAX_BYTES_IN_MEMORY", 100_000)
    config = Config(no_persistence=True, listen="127.0.0.1:0", shutdown_grace_s=1)
    with Server(config) as server, grpc.insecure_channel(server.address) as channel:
        exports = ExportServiceStub(channel)
        IngestServiceStub(channel).IngestEvents(
            IngestEventsRequest(rows=Events(events=threads(1_000, "x" * 200)))
        )
        with pytest.raises(grpc.RpcError) as refused:
            list(exports.StreamAggregates(BY_THREAD))
        assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        details = rpc_status.from_call(refused.value).details
        quota = QuotaFailure()
        assert any(detail.Unpack(quota) for detail in details)
        assert quota.violations[0].subject == "result_bytes"
        # It would be refused again.
        assert not any(detail.Is(RetryInfo.DESCRIPTOR) for detail in details)
        with (
            ExportClient(server.address) as client,
            pytest.raises(LimitExceeded, match="result_bytes: the limit of 100000 bytes"),
        ):
            client.aggregate(group_by="thread_name").to_arrow()
        limited = StreamAggregatesRequest(limit=10)
        limited.MergeFrom(BY_THREAD)
        assert list(exports.StreamAggregates(limited))[-1].summary.rows_remaining == 990


@pytest.mark.skipif(sys.platform != "linux", reason="reads peaks from /proc")
def test_peaks_stay_flat_as_groups_grow(tmp_path: Path) -> None:
    small, large = (_peak_bytes(tmp_path / str(rows), rows) for rows in (150_000, 900_000))
    assert large - small <= 128 * MIB


def _peak_bytes(folder: Path, rows: int) -> int:
    """The server's peak for one grouping with about half as many groups as there are rows."""
    make_store(folder / "events.duckdb", rows)
    with (
        server_process(folder / "events.duckdb") as server,
        ExportClient(server.address) as client,
        client.aggregate(
            group_by=["thread_name", "event_type"], measures=["count", "p99:duration_ns"]
        ) as export,
    ):
        assert export.total_rows > rows // 3
        assert sum(batch.num_rows for batch in export) == export.total_rows
        return peak_bytes(Path(f"/proc/{server.process.pid}/status"))
