"""Clients that stop reading, and too many at once: named, resumable, and no slot is lost."""

from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from google.rpc.error_details_pb2 import QuotaFailure, RetryInfo
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status

from argus_grpc.v1.export_pb2 import Encoding, StreamEventsRequest
from argus_grpc.v1.export_pb2_grpc import ExportServiceStub
from tests.conftest import RunningServer, start_server
from tests.processes import peak_bytes, server_process
from tests.synthetic import make_store

pytestmark = pytest.mark.duckdb

MIB = 1024 * 1024
ROWS = 300_000
ALL_EVENTS = StreamEventsRequest(columns=["all"], encoding=Encoding.ENCODING_ARROW)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("stock") / "events.duckdb"
    make_store(path, ROWS)
    return path


@pytest.fixture
def one_slot(database: Path) -> Iterator[RunningServer]:
    yield from start_server(database.parent, max_exports=1, max_queued=0)


@pytest.fixture
def impatient(database: Path) -> Iterator[RunningServer]:
    """One slot too, for which others wait, and from which a stalled export is soon ended."""
    yield from start_server(database.parent, max_exports=1, stall_timeout_s=2)


def test_a_stalled_stream_ends_resumable_by_name_and_frees_its_slot(impatient: RunningServer) -> None:
    stalled = impatient.exports.StreamEvents(ALL_EVENTS)
    rows, token = 0, next(stalled).header.resume_token
    # Its client cannot see its end before it has read what is on its way: the freed slot shows it.
    assert list(impatient.exports.StreamEvents(ALL_EVENTS))[-1].summary.total_rows == ROWS

    try:
        for message in stalled:
            rows, token = rows + message.batch.row_count, message.batch.resume_token
    except grpc.RpcError as error:
        ending = error
    assert ending.code() == grpc.StatusCode.UNAVAILABLE
    assert "stalled: nothing was read for 2 s; resume" in str(ending.details())

    request = StreamEventsRequest(resume_token=token)
    request.MergeFrom(ALL_EVENTS)
    answers = list(impatient.exports.StreamEvents(request))
    assert answers[0].header.first_row == rows
    assert answers[-1].summary.total_rows == ROWS


def test_an_export_too_many_is_refused_with_the_limits_name_and_when_to_retry(
    one_slot: RunningServer,
) -> None:
    running = one_slot.exports.StreamEvents(ALL_EVENTS)
    next(running)
    with pytest.raises(grpc.RpcError) as refusal:
        next(one_slot.exports.StreamEvents(ALL_EVENTS))
    running.cancel()

    assert refusal.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    quota, retry = QuotaFailure(), RetryInfo()
    details = rpc_status.from_call(refusal.value).details
    assert any(detail.Unpack(quota) for detail in details)
    assert any(detail.Unpack(retry) for detail in details)
    assert quota.violations[0].subject == "max_exports"
    assert retry.retry_delay.ToMilliseconds() > 0


def test_a_hundred_stalled_clients_cost_little_and_hold_up_nobody(database: Path) -> None:
    with server_process(database) as server, grpc.insecure_channel(server.address) as channel:
        _export(server.address)
        before = peak_bytes(Path(f"/proc/{server.process.pid}/status"))
        # A channel each, as a hundred clients have: on one they would share a connection's window.
        channels = [
            grpc.insecure_channel(server.address, options=[("grpc.use_local_subchannel_pool", 1)])
            for _ in range(100)
        ]
        streams = [ExportServiceStub(channel).StreamEvents(ALL_EVENTS) for channel in channels]
        try:
            for stream in streams:
                assert next(stream).HasField("header")
                assert next(stream).HasField("batch")
            assert _export(server.address) == ROWS
            health = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=30)
            assert health.status == health_pb2.HealthCheckResponse.SERVING
            growth = peak_bytes(Path(f"/proc/{server.process.pid}/status")) - before
            # A few batches each: one on its way, what gRPC and the allocator hold, and a window.
            assert growth <= 100 * 6 * MIB
        finally:
            for stream, its_channel in zip(streams, channels, strict=True):
                stream.cancel()
                its_channel.close()


def _export(address: str) -> int:
    with grpc.insecure_channel(address) as channel:
        answers = list(ExportServiceStub(channel).StreamEvents(ALL_EVENTS))
    return int(answers[-1].summary.total_rows)
