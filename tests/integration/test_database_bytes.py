"""Continuous ingest and removal in a real server: the files stay within their bound, and a kill at any moment
leaves events and the note of what is gone in step."""

import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
import grpc
import pytest

from argus_client import ExportClient, ResumeRefused
from argus_grpc.config import Config
from argus_grpc.server import Server
from argus_grpc.v1.event_pb2 import Event, Events, EventType
from argus_grpc.v1.export_pb2 import PlanExportRequest
from argus_grpc.v1.export_pb2_grpc import ExportServiceStub
from argus_grpc.v1.ingest_pb2 import IngestEventsRequest
from argus_grpc.v1.ingest_pb2_grpc import IngestServiceStub
from tests.quick_server import quick_server
from tests.retaining import MIB, files_bytes, random_batch

pytestmark = pytest.mark.duckdb

BOUND = 64 * MIB
"""Less than the settings allow, so that it is soon reached."""


@pytest.mark.parametrize("text_bytes", [50, 200])
def test_files_stay_within_the_bound_and_exports_are_exact_or_refused(
    tmp_path: Path, text_bytes: int
) -> None:
    config = Config(db=tmp_path / "events.duckdb", listen="127.0.0.1:0", shutdown_grace_s=1)
    config = config.model_copy(update={"max_database_bytes": BOUND})
    stop = threading.Event()
    batches = [random_batch(5_000, text_bytes, seed) for seed in range(40)]
    with (
        Server(config) as server,
        ExportClient(server.address) as client,
        ThreadPoolExecutor(2) as threads,
    ):

        def come() -> int:
            rows = 0
            while not stop.is_set():
                rows += client.ingest_arrow(batches[rows // 5_000 % len(batches)]).events
            return rows

        def watch() -> int:
            largest = 0
            while not stop.is_set():
                largest = max(largest, files_bytes(tmp_path))
                # Looking without a pause would hold up the server, which runs in this process.
                stop.wait(0.001)
            return largest

        coming, watching = threads.submit(come), threads.submit(watch)
        whole = 0
        try:
            # Until the bound has been met several times.
            while client.plan().removed_events < 300_000 or not whole:
                export = client.export(columns=["sequence", "thread_name"], order="arrival")
                try:
                    table = export.to_arrow()
                except ResumeRefused:
                    continue
                header = export.header
                kept = range(header.removed_events + 1, header.watermark + 1)
                assert table["sequence"].to_pylist() == list(kept)
                whole += 1
                assert not coming.done()
        finally:
            stop.set()
        assert watching.result() <= BOUND
        rows = coming.result()
        assert client.plan().watermark == rows


def test_a_kill_leaves_events_and_what_is_gone_in_step(tmp_path: Path) -> None:
    db = tmp_path / "events.duckdb"
    batch = IngestEventsRequest(
        rows=Events(
            events=[
                Event(
                    timestamp=i, event_type=EventType.EVENT_TYPE_CONTENTION, source="s", thread_name="x" * 99
                )
                for i in range(1_000)
            ]
        )
    )
    acknowledged = removed = 0
    for _ in range(4):
        with (
            quick_server(db, "--retention", "1s") as server,
            grpc.insecure_channel(server.address) as channel,
        ):
            ingests, exports = IngestServiceStub(channel), ExportServiceStub(channel)
            # It removes ten times a second, and is killed in the midst of it.
            removals = 0
            while removals < 3:
                answer = ingests.IngestEvents(batch)
                assert answer.first_sequence >= acknowledged + 1
                acknowledged = answer.last_sequence
                removed_now = exports.PlanExport(PlanExportRequest()).removed_events
                removals += removed_now > removed
                removed = removed_now
            server.stop(signal.SIGKILL)
        with duckdb.connect(db) as database:
            query = "SELECT count(*), coalesce(min(sequence), 0), coalesce(max(sequence), 0) FROM events"
            ((count, first, last),) = database.execute(query).fetchall()
            ((through,),) = database.execute("SELECT through FROM argus_removed").fetchall()
        assert removed <= through
        assert count == 0 or (first, last) == (through + 1, through + count)
        assert max(through, last) == acknowledged
