"""Groups that are cut anywhere and gone on with: to the byte what they are uncut, or refused by name."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pyarrow as pa
import pytest
from google.rpc.error_details_pb2 import ErrorInfo
from grpc_status import rpc_status

from argus_client import Backoff, EventsMissed, Export, ExportClient, InvalidRequest, ResumeRefused
from argus_client import EventQuery as ClientQuery
from argus_client.compression import Compression
from argus_client.errors import ServerUnavailable
from argus_client.formats import RenderOptions
from argus_client.stream import StreamVerifier
from argus_grpc.v1.aggregate_pb2 import GroupBy, Measure
from argus_grpc.v1.event_pb2 import Event, EventType
from argus_grpc.v1.export_pb2 import (
    Encoding,
    StreamAggregatesRequest,
    StreamAggregatesResponse,
    StreamEventsRequest,
)
from argus_grpc.v1.query_pb2 import EventQuery
from tests.conftest import RunningServer
from tests.integration.test_retention_exports import ingest, remove, retaining
from tests.proxy import Proxy, proxy_to
from tests.strategies import NASTY_TEXTS

pytestmark = pytest.mark.duckdb

SMALL = 16 * 1024
GROUPS = 420
GROUP_BY = ("thread_name", "time:1s")
MEASURES = ("count", "p50:duration_ns", "avg:cpu_jvm_user")


def some_events() -> list[Event]:
    texts = [text for text in NASTY_TEXTS if "\0" not in text][:20]
    return [
        Event(
            timestamp=i % 21 * 10**9,
            event_type=EventType.EVENT_TYPE_CPU_LOAD,
            source="cuts",
            thread_name=f"{texts[i % 20]}{'x' * 150}",
            duration_ns=i if i % 5 else None,
            cpu_jvm_user=i / 7,
        )
        for i in range(3 * GROUPS)
    ]


@pytest.fixture(scope="module", autouse=True)
def _events(shared_server: RunningServer) -> None:
    shared_server.ingest(some_events())


@pytest.fixture(scope="module")
def proxy(shared_server: RunningServer) -> Iterator[Proxy]:
    with proxy_to(shared_server.address) as proxy:
        yield proxy


@pytest.fixture
def cutting(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> Proxy:
    accept = StreamVerifier.accept

    def accept_and_tell(verifier: StreamVerifier, message: StreamAggregatesResponse) -> Any:
        batch = accept(verifier, message)
        proxy.cut_when_taken()
        return batch

    monkeypatch.setattr(StreamVerifier, "accept", accept_and_tell)
    monkeypatch.setattr("argus_client.compression.BLOCK_BYTES", 10_000)
    return proxy


def aggregate(client: ExportClient, **options: Any) -> Export:
    return client.aggregate(group_by=GROUP_BY, measures=MEASURES, max_batch_bytes=SMALL, **options)


@pytest.mark.parametrize(
    ("format", "compression", "limit"),
    [("csv", "none", None), ("json", "gzip", None), ("jsonl", "zstd", None), ("json", "none", 300)],
)
def test_a_cut_anywhere_does_not_show_in_the_file(
    cutting: Proxy, tmp_path: Path, format: str, compression: Compression, limit: int | None
) -> None:
    with ExportClient(cutting.address, backoff=Backoff(first_s=0.005, max_s=0.005)) as client:
        with aggregate(client, limit=limit) as export:
            assert export.total_rows == (limit or GROUPS)
            # The token of its beginning makes it the same export, down to exportedAt.
            start = export.resume_point

        def write(name: str, **options: Any) -> bytes:
            export = aggregate(client, limit=limit, resume_from=start, **options)
            written = export.write(
                tmp_path / name,
                format,
                RenderOptions(metadata=format != "json"),
                compression=compression,
                overwrite=True,
            )
            assert written.events == (limit or GROUPS)
            assert written.is_truncated is (limit is not None)
            return (tmp_path / name).read_bytes()

        uncut = write("uncut")
        with aggregate(client, limit=limit, resume_from=start) as export:
            messages = 2 + sum(1 for _ in export)
        assert messages in range(6, 12)
        for place in [message + part for message in range(messages) for part in (0.5, 1)]:
            retries: list[int] = []
            cutting.stop_at(place)
            on_retry = lambda attempt, _wait_s, _error, retries=retries: retries.append(attempt)  # noqa: E731
            assert write("cut", on_retry=on_retry) == uncut, f"cut at message {place}"
            assert retries


def test_an_interrupted_file_is_gone_on_with(cutting: Proxy, tmp_path: Path) -> None:
    with ExportClient(cutting.address, retry_for_s=0) as client:
        aggregate(client).write(tmp_path / "uncut.csv")
        cutting.stop_at(4)
        with pytest.raises(ServerUnavailable):
            aggregate(client).write(tmp_path / "cut.csv")
        assert not (tmp_path / "cut.csv").exists()
        notices: list[str] = []
        for refused in (
            client.aggregate(group_by=GROUP_BY, measures="count"),
            client.aggregate(group_by="time:1s", measures=MEASURES),
            client.export(),
        ):
            with pytest.raises(InvalidRequest, match="but the interrupted export has"):
                refused.write(tmp_path / "cut.csv", resume=True)
        aggregate(client).write(tmp_path / "cut.csv", resume=True, on_notice=notices.append)
    assert "groups" in notices[0]
    assert (tmp_path / "cut.csv").read_bytes() == (tmp_path / "uncut.csv").read_bytes()
    manifest = json.loads((tmp_path / "cut.csv.manifest.json").read_bytes())
    assert (manifest["rows"], manifest["totalEvents"]) == (GROUPS, 3 * GROUPS)
    assert (manifest["groupBy"], manifest["measures"]) == ([*GROUP_BY], [*MEASURES])


def stream(server: RunningServer, **fields: Any) -> list[StreamAggregatesResponse]:
    request = StreamAggregatesRequest(
        group_by=[GroupBy(column="thread_name"), GroupBy(time_bucket_ns=10**9)],
        measures=[Measure(), Measure(function=Measure.FUNCTION_P90, column="duration_ns")],
        encoding=Encoding.ENCODING_ARROW,
        max_batch_bytes=SMALL,
    )
    request.MergeFrom(StreamAggregatesRequest(**fields))
    return list(server.exports.StreamAggregates(request))


def rows_of(messages: list[StreamAggregatesResponse]) -> list[dict[str, Any]]:
    return [
        row
        for message in messages
        if message.HasField("batch")
        for row in pa.ipc.open_stream(message.batch.arrow).read_all().to_pylist()
    ]


def test_every_token_gives_exactly_the_rest(shared_server: RunningServer) -> None:
    header, *batches, _ = whole = stream(shared_server)
    rows = rows_of(whole)
    assert len(rows) == GROUPS
    places = [(0, header.header.resume_token)] + [
        (message.batch.first_row + message.batch.row_count, message.batch.resume_token) for message in batches
    ]
    for place, token in places:
        rest = stream(shared_server, resume_token=token)
        assert rows_of(rest) == rows[place:]
        assert rest[0].header.first_row == place
        for field in ("export_id", "exported_at", "watermark", "total_events", "aggregation"):
            assert getattr(rest[0].header, field) == getattr(header.header, field)


@pytest.mark.parametrize("limit", [1, 100, GROUPS - 1, GROUPS])
def test_a_limit_that_cuts_says_what_is_left_and_goes_on(shared_server: RunningServer, limit: int) -> None:
    rows, token, remaining = [], "", GROUPS
    for _ in range(3):
        messages = stream(shared_server, limit=limit, resume_token=token)
        rows += rows_of(messages)
        remaining -= min(limit, remaining)
        summary = messages[-1].summary
        assert (summary.total_rows, summary.rows_remaining) == (len(rows), remaining)
        assert messages[0].header.aggregation.total_groups == len(rows)
        assert messages[0].header.total_events == 3 * GROUPS
        token = summary.continuation_token
        assert bool(token) is (remaining > 0)
        if not token:
            break
    assert rows == rows_of(stream(shared_server))[: len(rows)]


def refusal(error: grpc.RpcError) -> tuple[grpc.StatusCode, str]:
    info = ErrorInfo()
    status = rpc_status.from_call(error)
    assert status.details[0].Unpack(info)
    return error.code(), info.reason


def test_a_token_is_for_its_own_request(shared_server: RunningServer) -> None:
    token = stream(shared_server)[0].header.resume_token
    events = next(shared_server.exports.StreamEvents(StreamEventsRequest())).header.resume_token
    others: list[dict[str, Any]] = [
        {"resume_token": token, "query": EventQuery(min_duration_ns=1)},
        {"resume_token": token, "group_by": [GroupBy(column="source")]},
        {"resume_token": token, "measures": [Measure(function=Measure.FUNCTION_P99, column="duration_ns")]},
        {"resume_token": events},
    ]
    for other in others:
        with pytest.raises(grpc.RpcError) as refused:
            stream(shared_server, **other)
        assert refusal(refused.value) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_TOKEN")
    with pytest.raises(grpc.RpcError) as refused:
        next(shared_server.exports.StreamEvents(StreamEventsRequest(resume_token=token)))
    assert refusal(refused.value) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_TOKEN")


def test_what_was_removed_shows_as_that_and_never_in_a_count(tmp_path: Path) -> None:
    with retaining(tmp_path) as (server, clock), ExportClient(server.address) as client:
        ingest(server, 1_000)
        with client.aggregate(group_by="event_type", measures="count") as export:
            assert export.total_rows == 2
            everything = export.resume_point
        newer = EventQuery(after_sequence=500)
        token = stream(server, query=newer)[0].header.resume_token
        remove(server, clock, through=400)
        # None of its events has gone.
        assert sum(row["count"] for row in rows_of(stream(server, query=newer, resume_token=token))) == 500
        with pytest.raises(ResumeRefused, match="have been removed since it began"):
            client.aggregate(group_by="event_type", measures="count", resume_from=everything).to_arrow()
        fresh = client.aggregate(group_by="event_type", measures="count")
        assert fresh.header.removed_events == 400
        assert sum(fresh.to_arrow()["count"].to_pylist()) == 600
        remove(server, clock, through=600)
        with pytest.raises(grpc.RpcError) as refused:
            stream(server, query=newer, resume_token=token)
        assert refusal(refused.value) == (grpc.StatusCode.FAILED_PRECONDITION, "EVENTS_REMOVED")
        with pytest.raises(EventsMissed, match="after_sequence: events 501 to 600"):
            client.aggregate(ClientQuery(after_sequence=500)).to_arrow()
