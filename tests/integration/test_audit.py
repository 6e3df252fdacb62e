"""The audit log: a record of each call, whatever becomes of it, and nothing without one."""

import hashlib
import signal
import stat
import struct
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from google.protobuf.json_format import ParseDict
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status

from argus_grpc.v1.aggregate_pb2 import GroupBy, Measure
from argus_grpc.v1.event_pb2 import Event, Events, EventType
from argus_grpc.v1.export_pb2 import (
    ListColumnsRequest,
    PlanExportRequest,
    StreamAggregatesRequest,
    StreamEventsRequest,
)
from argus_grpc.v1.export_pb2_grpc import ExportServiceStub
from argus_grpc.v1.ingest_pb2 import IngestEventsRequest
from argus_grpc.v1.query_pb2 import EventQuery
from tests.auditing import records, wait_for_records
from tests.conftest import RunningServer, start_server
from tests.identities import bearer, make_token
from tests.processes import run_server, server_process
from tests.refusals import wait_until
from tests.synthetic import make_store

START = EventType.EVENT_TYPE_VIRTUAL_THREAD_START
EVENTS = [Event(timestamp=i, event_type=START, source="s", thread_name="x" * 500) for i in range(1_000)]
QUERY = EventQuery(event_types=[START], sources=["s"], after_sequence=10)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "audit" / "audit.jsonl"


@pytest.fixture
def audited(tmp_path: Path, log: Path) -> Iterator[RunningServer]:
    log.parent.mkdir()
    yield from start_server(tmp_path, audit_log=log)


def test_an_export_is_told_as_it_was_applied_and_received(audited: RunningServer, log: Path) -> None:
    audited.ingest(EVENTS)
    request = StreamEventsRequest(query=QUERY, columns=["sequence", "thread_name"], max_batch_bytes=64 * 1024)
    header, *batches, _ = audited.exports.StreamEvents(request)
    assert len(batches) > 2
    digest = hashlib.sha256()
    for answer in batches:
        digest.update(
            struct.pack(">QQI", answer.batch.first_row, answer.batch.row_count, answer.batch.crc32c)
        )

    _, begun, ended = wait_for_records(log, 3)
    assert (begun["state"], begun["rows"], begun["requestId"]) == ("BEGUN", 0, ended["requestId"])
    assert ended["state"] == "COMPLETE"
    assert ended["who"] == {"name": "anonymous", "kind": "anonymous", "role": "unrestricted"}
    assert ended["peer"].startswith("ipv4:127.0.0.1:")
    assert ended["method"] == "argus_grpc.v1.ExportService/StreamEvents"
    assert ParseDict(ended["query"], EventQuery()) == header.header.query == QUERY
    assert ended["columns"] == ["sequence", "thread_name"]
    assert ended["exportId"] == header.header.export_id
    assert (ended["firstRow"], ended["rows"], ended["watermark"]) == (0, 990, 1_000)
    assert ended["digest"] == digest.hexdigest()
    assert ended["bytes"] > 990 * 500
    assert stat.S_IMODE(log.stat().st_mode) == 0o600


def test_every_way_to_end_is_told(audited: RunningServer, log: Path) -> None:
    batch = IngestEventsRequest(source="agent", batch_id="7", rows=Events(events=EVENTS))
    audited.ingests.IngestEvents(batch)
    audited.ingests.IngestEvents(batch)
    audited.exports.PlanExport(PlanExportRequest(query=QUERY))
    audited.exports.ListColumns(ListColumnsRequest())
    list(audited.exports.StreamEvents(StreamEventsRequest(limit=5)))
    keys, measures = [GroupBy(column="source")], [Measure(function=Measure.FUNCTION_COUNT)]
    list(audited.exports.StreamAggregates(StreamAggregatesRequest(group_by=keys, measures=measures)))
    with pytest.raises(grpc.RpcError) as refused:
        list(audited.exports.StreamEvents(StreamEventsRequest(columns=["secret_plans"])))
    with pytest.raises(grpc.RpcError):
        audited.ingest([Event(event_type=START)])

    found = [r for r in wait_for_records(log, 9) if r["state"] != "BEGUN"]
    told = [(r["kind"], r["state"], r["code"]) for r in found]
    assert told == [
        ("ingest", "COMPLETE", "OK"),
        ("ingest", "COMPLETE", "OK"),
        ("plan", "COMPLETE", "OK"),
        ("export", "TRUNCATED", "OK"),
        ("export", "COMPLETE", "OK"),
        ("export", "REFUSED", "INVALID_ARGUMENT"),
        ("ingest", "REFUSED", "INVALID_ARGUMENT"),
    ]
    first, again, plan, truncated, grouped, wrong, unfit = found
    assert (first["source"], first["batchId"], first["events"]) == ("agent", "7", 1_000)
    assert (first["firstSequence"], first["lastSequence"], first["wasStoredBefore"]) == (1, 1_000, False)
    assert first["bytes"] == batch.ByteSize()
    assert again["wasStoredBefore"]
    assert "rows" not in plan
    assert truncated["rows"] == 5
    assert (grouped["rows"], grouped["aggregation"]["groupBy"]) == (1, [{"column": "source"}])
    assert wrong["reason"] == "INVALID_FIELD"
    assert wrong["message"] == refused.value.details()
    status = rpc_status.from_call(refused.value)
    assert status is not None
    assert wrong["requestId"] in str(status.details[-1])
    assert (unfit["events"], "firstSequence" in unfit) == (1, False)


def test_strangers_are_not_told_as_anyone(tmp_path: Path, log: Path) -> None:
    log.parent.mkdir()
    tokens = tmp_path / "tokens.json"
    roleless = bearer(make_token(tokens, "ann", "analyst"))
    for server in start_server(tmp_path, audit_log=log, tokens=tokens):
        for metadata in ((), bearer("nonsense"), roleless):
            with pytest.raises(grpc.RpcError):
                server.exports.PlanExport(PlanExportRequest(), metadata=metadata)
    *strangers, known = wait_for_records(log, 3)
    assert [(r["reason"], "who" in r) for r in strangers] == [("NOT_AUTHENTICATED", False)] * 2
    assert known["reason"] == "NOT_PERMITTED"
    assert known["who"] == {"name": "ann", "kind": "token", "role": "analyst"}


def test_a_client_that_vanishes_is_told_with_what_it_was_sent(audited: RunningServer, log: Path) -> None:
    for _ in range(20):
        audited.ingest(EVENTS)
    with grpc.insecure_channel(audited.address) as channel:
        stream = ExportServiceStub(channel).StreamEvents(StreamEventsRequest(columns=["all"]))
        next(stream)
        assert next(stream).batch.row_count
    (ended,) = (r for r in wait_for_records(log, 22) if r["state"] == "CANCELLED")
    assert 0 < ended["rows"] < 20_000
    assert (ended["kind"], ended["code"]) == ("export", "CANCELLED")


def test_an_export_that_a_killed_server_leaves_without_an_end_is_known(tmp_path: Path, log: Path) -> None:
    log.parent.mkdir()
    make_store(tmp_path / "events.duckdb", rows=50_000)
    with (
        server_process(tmp_path / "events.duckdb", "--audit-log", str(log)) as server,
        grpc.insecure_channel(server.address) as channel,
    ):
        stream = ExportServiceStub(channel).StreamEvents(StreamEventsRequest(columns=["all"]))
        header = next(stream).header
        server.stop(signal.SIGKILL)
    (begun,) = records(log)
    assert (begun["state"], begun["exportId"]) == ("BEGUN", header.export_id)


def test_a_torn_last_line_is_ended_at_the_next_start(tmp_path: Path, log: Path) -> None:
    log.parent.mkdir()
    log.write_text('{"time":"2026-0')
    for server in start_server(tmp_path, audit_log=log):
        server.ingest(EVENTS[:1])
    torn, whole = log.read_text().splitlines()
    assert torn == '{"time":"2026-0'
    assert '"state":"COMPLETE"' in whole


def test_a_file_that_is_moved_away_is_followed_by_a_new_one(audited: RunningServer, log: Path) -> None:
    audited.ingest(EVENTS[:1])
    wait_for_records(log, 1)
    log.rename(log.with_suffix(".1"))
    audited.ingest(EVENTS[:2])
    wait_until(log.exists)
    assert [r["events"] for r in wait_for_records(log, 1)] == [2]
    assert [r["events"] for r in records(log.with_suffix(".1"))] == [1]


def health(server: RunningServer) -> int:
    request = health_pb2.HealthCheckRequest(service="argus_grpc.v1.ExportService")
    return int(health_pb2_grpc.HealthStub(server.channel).Check(request).status)


def test_while_it_cannot_be_written_nothing_goes_out_or_in(audited: RunningServer, log: Path) -> None:
    for _ in range(20):
        audited.ingest(EVENTS)
    running = audited.exports.StreamEvents(StreamEventsRequest(columns=["all"]))
    assert next(running).HasField("header")
    wait_for_records(log, 21)
    moved = log.parent.with_name("moved")
    log.parent.rename(moved)

    # That the log cannot be written is known by the next record at the latest: an export's beginning.
    for call in (
        lambda: list(audited.exports.StreamEvents(StreamEventsRequest())),
        lambda: audited.ingest(EVENTS),
        lambda: audited.exports.PlanExport(PlanExportRequest()),
        lambda: list(running),
    ):
        with pytest.raises(grpc.RpcError) as refused:
            call()
        assert refused.value.code() == grpc.StatusCode.UNAVAILABLE
        assert "the audit log cannot be written" in str(refused.value.details())
        status = rpc_status.from_call(refused.value)
        assert status is not None
        assert "AUDIT_UNAVAILABLE" in str(status.details[0])
    assert audited.exports.ListColumns(ListColumnsRequest()).columns
    wait_until(lambda: health(audited) == health_pb2.HealthCheckResponse.NOT_SERVING)

    moved.rename(log.parent)
    wait_until(lambda: health(audited) == health_pb2.HealthCheckResponse.SERVING)
    assert audited.ingest(EVENTS).start == 20_001

    # Nothing was lost meanwhile: the refused ones and the one that was ended are there as well. Of the first
    # it may be known that it began.
    def ends() -> list[str]:
        return [r["state"] for r in records(log)[20:] if r["state"] != "BEGUN"]

    wait_until(lambda: len(ends()) >= 5)
    assert ends() == ["FAILED"] * 4 + ["COMPLETE"]


def test_an_audit_log_that_cannot_be_opened_is_told_at_start(tmp_path: Path) -> None:
    refused = run_server(
        "--db", str(tmp_path / "e.duckdb"), "--audit-log", str(tmp_path), "--listen", "127.0.0.1:0"
    )
    assert refused.returncode in (1, 2)
    assert str(tmp_path) in refused.stderr
    assert "Traceback" not in refused.stderr
