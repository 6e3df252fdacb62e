"""Answers that come from the commit: without a thread that waits, to whom they are due, also at a stop."""

import sys
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from google.rpc.error_details_pb2 import BadRequest, RequestInfo
from grpc_status import rpc_status

from argus_grpc.config import Config
from argus_grpc.server import Server
from argus_grpc.v1.export_pb2 import ListColumnsRequest
from argus_grpc.v1.export_pb2_grpc import ExportServiceStub
from argus_grpc.v1.ingest_pb2 import IngestEventsResponse
from argus_grpc.v1.ingest_pb2_grpc import IngestServiceStub
from tests.conftest import RunningServer
from tests.ingesting import numbered_batch

pytestmark = pytest.mark.duckdb


def wait_until(condition: Callable[[], bool]) -> None:
    end_s = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end_s


@contextmanager
def no_commits(server: Server) -> Iterator[None]:
    """Commits wait meanwhile."""
    with server._store._database.alone(timeout_s=60) as cursor:
        assert cursor is not None
        yield


def waiting_batches(server: Server) -> int:
    return len(server._store._appender._unanswered)


def is_any_call_running(server: Server) -> bool:
    """Whether a thread for calls is anywhere inside the interceptors."""
    threads = {thread.ident for thread in server._threads._threads}
    return any(
        Path(frame.f_code.co_filename).parent.name == "interceptors"
        for ident, top in sys._current_frames().items()
        if ident in threads
        for frame, _ in traceback.walk_stack(top)
    )


def test_batches_that_wait_for_their_commit_take_no_thread(server: RunningServer) -> None:
    with no_commits(server.server):
        calls = [server.ingests.IngestEvents.future(numbered_batch("s", i, rows=2)) for i in range(200)]
        wait_until(lambda: waiting_batches(server.server) == 200)
        wait_until(lambda: not is_any_call_running(server.server))
    answers: list[IngestEventsResponse] = [call.result(timeout=60) for call in calls]
    assert sorted(answer.first_sequence for answer in answers) == list(range(1, 400, 2))
    for number, answer in enumerate(answers):
        stored = server.sql(f"SELECT thread_id FROM events WHERE sequence = {answer.last_sequence}")
        assert stored == [(number + 1,)]


def test_refusals_of_one_commit_go_each_to_its_own_call(server: RunningServer) -> None:
    broken = [numbered_batch("s", number, rows=3) for number in range(3)]
    for number, batch in enumerate(broken):
        batch.rows.events[number].ClearField("timestamp")
    with no_commits(server.server):
        calls = [server.ingests.IngestEvents.future(batch) for batch in broken]
        good = server.ingests.IngestEvents.future(numbered_batch("s", 3, rows=3))
        wait_until(lambda: waiting_batches(server.server) == 4)
    assert good.result(timeout=60).first_sequence == 1
    request_ids = set()
    for number, call in enumerate(calls):
        error = call.exception(timeout=60)
        assert isinstance(error, grpc.RpcError)
        assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
        bad, info = BadRequest(), RequestInfo()
        details = rpc_status.from_call(error).details
        assert any(detail.Unpack(bad) for detail in details)
        assert any(detail.Unpack(info) for detail in details)
        assert bad.field_violations[0].field == f"rows.events[{number}].timestamp"
        request_ids.add(info.request_id)
    assert "" not in request_ids
    assert len(request_ids) == 3


def test_a_stopping_server_answers_what_waits(tmp_path: Path) -> None:
    server = Server(Config(db=tmp_path / "events.duckdb", listen="127.0.0.1:0", shutdown_grace_s=60))
    with grpc.insecure_channel(server.address) as channel, ThreadPoolExecutor(1) as threads:
        ingests, exports = IngestServiceStub(channel), ExportServiceStub(channel)
        with no_commits(server):
            calls = [ingests.IngestEvents.future(numbered_batch("s", i, rows=2)) for i in range(50)]
            wait_until(lambda: waiting_batches(server) == 50)
            closed = threads.submit(server.close)
            wait_until(lambda: _is_refused(exports))
        answers = [call.result(timeout=60) for call in calls]
        closed.result(timeout=60)
    assert sorted(answer.first_sequence for answer in answers) == list(range(1, 100, 2))


def _is_refused(exports: ExportServiceStub) -> bool:
    try:
        exports.ListColumns(ListColumnsRequest())
    except grpc.RpcError as error:
        return error.code() == grpc.StatusCode.UNAVAILABLE
    return False
