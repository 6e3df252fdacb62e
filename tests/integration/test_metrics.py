"""What Prometheus reads: right, and with nothing in a label that a caller chose."""

import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from argus_grpc.errors import CannotListen
from argus_grpc.v1.event_pb2 import Event, Events, EventType
from argus_grpc.v1.export_pb2 import PlanExportRequest, StreamEventsRequest
from argus_grpc.v1.ingest_pb2 import IngestEventsRequest
from argus_grpc.v1.query_pb2 import EventQuery
from tests.conftest import RunningServer, start_server

pytestmark = pytest.mark.duckdb

START = EventType.EVENT_TYPE_VIRTUAL_THREAD_START
EVENTS = [Event(timestamp=i, event_type=START, source="s", thread_name="x" * 500) for i in range(1_000)]
SECRET = "hunter2"

METHODS = {"ListColumns", "PlanExport", "StreamEvents", "StreamAggregates", "IngestEvents", "other"}
LABELS = {
    "method": METHODS,
    "code": {code.name for code in grpc.StatusCode},
    "reason": {"INVALID_FIELD", "INVALID_TOKEN", "LIMIT_REACHED", "INTERNAL", "CANCELLED"},
    "result": {"stored", "known"},
    "le": None,
    "version": None,
    "python": None,
}


@pytest.fixture
def metered(tmp_path: Path) -> Iterator[RunningServer]:
    yield from start_server(tmp_path, metrics_listen="127.0.0.1:0", audit_log=tmp_path / "audit.jsonl")


def url(server: RunningServer) -> str:
    return f"http://{server.server.metrics_address}/metrics"


def scraped(server: RunningServer) -> dict[tuple[str, ...], float]:
    """Values by name and the labels' values, in the order of the labels' names."""
    return {(s.name, *(value for _, value in sorted(s.labels.items()))): s.value for s in samples(server)}


def samples(server: RunningServer) -> list[Sample]:
    with urllib.request.urlopen(url(server), timeout=10) as answer:
        assert answer.headers["Content-Type"].startswith("text/plain")
        text = answer.read().decode()
    return [sample for family in text_string_to_metric_families(text) for sample in family.samples]


def wait_until(server: RunningServer, *name: str, value: float) -> dict[tuple[str, ...], float]:
    """The call ends for its client a little before it is counted."""
    deadline_s = time.monotonic() + 30
    while (found := scraped(server)).get(name) != value:
        assert time.monotonic() < deadline_s, found
    return found


def test_what_went_in_and_out_is_counted(metered: RunningServer) -> None:
    batch = IngestEventsRequest(source="agent", batch_id="7", rows=Events(events=EVENTS))
    metered.ingests.IngestEvents(batch)
    metered.ingests.IngestEvents(batch)
    sent = sum(
        len(answer.batch.rows.SerializeToString())
        for answer in metered.exports.StreamEvents(StreamEventsRequest(limit=700))
    )
    found = wait_until(metered, "argus_calls_total", "OK", "StreamEvents", value=1)
    assert found["argus_calls_total", "OK", "IngestEvents"] == 2
    assert found["argus_ingest_batches_total", "stored"] == found["argus_ingest_batches_total", "known"] == 1
    assert found[("argus_ingest_events_total",)] == 1_000
    assert found[("argus_ingest_bytes_total",)] == 2 * batch.ByteSize()
    assert found["argus_export_rows_total", "StreamEvents"] == 700
    assert found["argus_export_bytes_total", "StreamEvents"] == sent
    assert found["argus_export_first_batch_seconds_count", "StreamEvents"] == 1
    assert found["argus_call_duration_seconds_count", "StreamEvents"] == 1
    assert found[("argus_export_queue_wait_seconds_count",)] == 1
    assert found[("argus_store_commit_seconds_count",)] == 1
    assert (found[("argus_store_events",)], found[("argus_store_watermark",)]) == (1_000, 1_000)
    assert found[("argus_store_removed_events_total",)] == 0
    files = metered.store_path.parent.glob("events.duckdb*")
    assert found[("argus_store_file_bytes",)] + found[("argus_store_wal_bytes",)] == sum(
        file.stat().st_size for file in files
    )
    assert found[("argus_audit_available",)] == found[("argus_store_available",)] == 1
    assert found[("process_resident_memory_bytes",)] > 0
    assert any(name[0] == "argus_build_info" for name in found)


def test_a_stream_that_runs_is_seen(metered: RunningServer) -> None:
    for _ in range(20):
        metered.ingest(EVENTS)
    stream = metered.exports.StreamEvents(StreamEventsRequest(columns=["all"]))
    next(stream)
    next(stream)
    found = scraped(metered)
    assert found["argus_exports_active", "StreamEvents"] == 1
    assert 0 < found["argus_export_rows_total", "StreamEvents"] < 20_000
    stream.cancel()
    wait_until(metered, "argus_exports_active", "StreamEvents", value=0)


def test_labels_have_nothing_of_what_callers_send(metered: RunningServer) -> None:
    odd = EventQuery(sources=[SECRET])
    odd.thread_name.contains = SECRET
    metadata = (("authorization", f"Bearer {SECRET}"), (SECRET, SECRET))
    metered.ingest([Event(timestamp=1, event_type=START, source=SECRET, thread_name=SECRET)])
    metered.exports.PlanExport(PlanExportRequest(query=odd), metadata=metadata)
    for request in (
        StreamEventsRequest(columns=[SECRET]),
        StreamEventsRequest(resume_token=SECRET),
        StreamEventsRequest(query=EventQuery(event_types=[99])),  # type: ignore[list-item]
    ):
        with pytest.raises(grpc.RpcError):
            list(metered.exports.StreamEvents(request, metadata=metadata))
    for method in (f"/{SECRET}/{SECRET}", f"/argus_grpc.v1.ExportService/{SECRET}"):
        with pytest.raises(grpc.RpcError):
            cast(Any, metered.channel.unary_unary(method))(b"")
    health_pb2_grpc.HealthStub(metered.channel).Check(health_pb2.HealthCheckRequest())

    found = wait_until(metered, "argus_errors_total", "INVALID_FIELD", value=2)
    assert found["argus_calls_total", "INVALID_ARGUMENT", "StreamEvents"] == 3
    assert found["argus_errors_total", "INVALID_TOKEN"] == 1
    for sample in samples(metered):
        for label, value in sample.labels.items():
            allowed = LABELS[label]
            assert allowed is None or value in allowed, sample
            assert SECRET not in value


def test_only_metrics_are_served_and_the_port_is_free_in_the_end(tmp_path: Path) -> None:
    for server in start_server(tmp_path, metrics_listen="127.0.0.1:0"):
        port = int(url(server).removesuffix("/metrics").rpartition(":")[2])
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(url(server) + "/../etc", timeout=10)
        with pytest.raises(CannotListen, match=f"port {port}"):
            next(start_server(tmp_path / "other", metrics_listen=f"127.0.0.1:{port}"))
    with socket.create_server(("127.0.0.1", port)):
        pass


def test_without_the_flag_nothing_is_served(server: RunningServer) -> None:
    assert server.server.metrics_address is None
