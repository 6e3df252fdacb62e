"""Who comes too late for events is told so by name: nothing that is left passes for all that is new."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pyarrow as pa
import pyarrow.csv
import pytest
from click.testing import CliRunner, Result
from google.rpc.error_details_pb2 import ErrorInfo, PreconditionFailure
from grpc_status import rpc_status

from argus_client import EventQuery, EventsMissed, ExportClient, checkpointing
from argus_client.cli import commands
from argus_grpc.config import Config
from argus_grpc.server import Server
from argus_grpc.v1.event_pb2 import EventType
from argus_grpc.v1.export_pb2 import Order, PlanExportRequest, StreamEventsRequest
from argus_grpc.v1.export_pb2_grpc import ExportServiceStub
from argus_grpc.v1.query_pb2 import EventQuery as EventQueryMessage
from tests.conftest import RunningServer

pytestmark = pytest.mark.duckdb

START = EventType.EVENT_TYPE_VIRTUAL_THREAD_START
END = EventType.EVENT_TYPE_VIRTUAL_THREAD_END


@contextmanager
def keeping_newest(events: int = 1_000) -> Iterator[Server]:
    config = Config(no_persistence=True, listen="127.0.0.1:0", shutdown_grace_s=1, buffer_events=events)
    with Server(config) as server:
        yield server


def ingest(server: Server | RunningServer, rows: int) -> None:
    """Events of one type, with names that make few of them a batch."""
    batch = pa.record_batch(
        {
            "timestamp": pa.array(range(rows)),
            "event_type": pa.array([START] * rows, pa.int32()),
            "source": ["s"] * rows,
            "thread_name": ["x" * 200] * rows,
        }
    )
    with ExportClient(server.address) as client:
        assert client.ingest_arrow(batch).events == rows


def run(server: Server, *args: object) -> Result:
    line = ["export", "--server", server.address, "--columns", "sequence,thread_name", *args]
    return CliRunner().invoke(commands, [*map(str, line)])


def sequences(file: Path) -> list[int]:
    return sorted(pyarrow.csv.read_csv(file)["sequence"].to_pylist())


def refusal(exports: ExportServiceStub, request: StreamEventsRequest) -> tuple[str, PreconditionFailure]:
    with pytest.raises(grpc.RpcError) as refused:
        next(exports.StreamEvents(request))
    assert refused.value.code() == grpc.StatusCode.FAILED_PRECONDITION
    info, failure = ErrorInfo(), PreconditionFailure()
    status = rpc_status.from_call(refused.value)
    assert status is not None
    assert status.details[0].Unpack(info)
    assert status.details[1].Unpack(failure)
    return info.reason, failure


@pytest.mark.parametrize(
    "asked",
    [
        {"order": Order.ORDER_TIME},
        {"order": Order.ORDER_ARRIVAL, "limit": 3},
        {"follow": True},
        # Nobody knows any more whether those that are gone would have matched.
        {"query": EventQueryMessage(event_types=[END])},
    ],
    ids=str,
)
def test_a_new_export_after_a_sequence_is_whole_or_refused(
    server: RunningServer, asked: dict[str, Any]
) -> None:
    ingest(server, 9)
    server.sql("DELETE FROM events WHERE sequence <= 5")
    server.sql("UPDATE argus_removed SET through = 5")
    request = StreamEventsRequest(**asked)
    for after_sequence in (1, 4):
        request.query.after_sequence = after_sequence
        reason, failure = refusal(server.exports, request)
        assert reason == "EVENTS_REMOVED"
        (violation,) = failure.violations
        assert (violation.type, violation.subject) == ("EVENTS_REMOVED", "query.after_sequence")
        assert violation.description == (
            f"events {after_sequence + 1} to 5 have been removed; "
            "pass query.after_sequence 5 or more, or 0, to export what is left"
        )
        plan = server.exports.PlanExport(PlanExportRequest(query=request.query))
        assert plan.removed_events == 5
    matching = 0 if END in request.query.event_types else 4
    for after_sequence, rows in ((0, matching), (5, matching), (9, 0), (50, 0)):
        request.query.after_sequence = after_sequence
        responses = server.exports.StreamEvents(request)
        header = next(responses).header
        responses.cancel()
        assert (header.total_events, header.removed_events) == (min(rows, request.limit or rows), 5)


def test_a_resumed_export_has_sent_what_is_gone() -> None:
    with keeping_newest() as server, grpc.insecure_channel(server.address) as channel:
        ingest(server, 1_000)
        exports = ExportServiceStub(channel)
        request = StreamEventsRequest(order=Order.ORDER_ARRIVAL, max_batch_bytes=16 * 1024)
        request.query.after_sequence = 1
        responses = exports.StreamEvents(request)
        next(responses)
        first = next(responses).batch
        responses.cancel()
        ingest(server, first.row_count + 1)
        assert refusal(exports, request)[0] == "EVENTS_REMOVED"
        request.resume_token = first.resume_token
        *_, last = exports.StreamEvents(request)
        assert last.summary.total_rows == 999


def test_since_last_is_not_short_of_what_came_and_went(tmp_path: Path) -> None:
    state, file = tmp_path / "since.state", tmp_path / "a.csv"
    with keeping_newest() as server:
        ingest(server, 3_000)
        result = run(server, "--since-last", state)
        assert (result.exit_code, result.stdout.count("\n")) == (0, 1_001)
        assert result.stderr.startswith("the server no longer has its first 2,000 events\n")
        before = state.read_bytes()

        ingest(server, 6_000)
        for flags in ([], ["-o", file], ["-o", file, "--resume"], ["--follow"]):
            result = run(server, "--since-last", state, *flags)
            assert (result.exit_code, result.stdout) == (1, "")
            assert result.stderr.splitlines()[-1] == (
                f"Error: {state} says that events up to 3,000 were exported, but the server has removed "
                f"events up to 8,000: 5,000 are gone that were never exported; to go on with what is left, "
                f"remove {state} (nothing is repeated by that)"
            )
            assert state.read_bytes() == before
        assert not list(tmp_path.glob("a.csv*"))

        state.unlink()
        assert run(server, "--since-last", state, "-o", file).exit_code == 0
        assert sequences(file) == list(range(8_001, 9_001))
        ingest(server, 1_000)
        result = run(server, "--since-last", state, "-o", tmp_path / "b.csv")
        # Those that are gone have been exported.
        assert (result.exit_code, result.stderr.count("\n")) == (0, 1)
        assert sequences(tmp_path / "b.csv") == list(range(9_001, 10_001))


def test_since_last_of_a_store_that_was_empty_is_refused_too(tmp_path: Path) -> None:
    state = tmp_path / "since.state"
    with keeping_newest() as server:
        assert run(server, "--since-last", state).exit_code == 0
        ingest(server, 1_001)
        result = run(server, "--since-last", state)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "events up to 0 were exported, but the server has removed events up to 1: 1 are" in result.stderr


def test_another_store_is_told_as_such(tmp_path: Path) -> None:
    state = tmp_path / "since.state"
    with keeping_newest() as server:
        ingest(server, 5)
        assert run(server, "--since-last", state).exit_code == 0
    with keeping_newest() as server:
        ingest(server, 3_000)
        result = run(server, "--since-last", state)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "whose sequence numbers are others; use another state file for it" in result.stderr


def test_after_is_refused_by_its_flag_and_by_its_argument(tmp_path: Path) -> None:
    with keeping_newest() as server, ExportClient(server.address) as client:
        ingest(server, 9_000)
        # With --resume too there is nothing that could not be gone on with.
        result = run(server, "--after", 3_000, "-o", tmp_path / "a.csv", "--resume")
        assert result.exit_code == 1
        assert result.stderr.splitlines()[1:] == [
            "Error: --after: events 3,001 to 8,000 have been removed; "
            "pass --after 8000 or more, or 0, to export what is left"
        ]
        assert not list(tmp_path.iterdir())
        with pytest.raises(
            EventsMissed, match=r"^after_sequence: events 2 to 8,000 .*; pass after_sequence 80"
        ):
            client.export(EventQuery(after_sequence=1)).to_arrow()
        assert client.export(EventQuery(after_sequence=8_000)).to_arrow().num_rows == 1_000


def test_what_is_gone_is_said_in_the_manifest_and_by_plan(tmp_path: Path) -> None:
    with keeping_newest() as server:
        ingest(server, 1_001)
        result = run(server, "-o", tmp_path / "a.csv")
        assert result.stderr.startswith("the server no longer has its first event\n1,000 events, ")
        manifest = json.loads((tmp_path / "a.csv.manifest.json").read_bytes())
        assert (manifest["rows"], manifest["removedEvents"]) == (1_000, 1)
        plan = ["plan", "--server", server.address]
        assert json.loads(CliRunner().invoke(commands, [*plan, "--json"]).stdout)["removedEvents"] == 1
        assert "\nRemoved    1 (" in CliRunner().invoke(commands, plan).stdout


def test_what_goes_after_it_was_sent_is_not_missed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpointing, "CHECKPOINT_INTERVAL_S", 0.0)
    state, file = tmp_path / "since.state", tmp_path / "a.csv"
    monkeypatch.setattr("argus_client.requests._DEFAULT_BATCH_BYTES", 16 * 1024)
    with keeping_newest() as server:
        assert run(server, "--since-last", state).exit_code == 0
        ingest(server, 1_000)
        asked = ["--since-last", state, "--order", "arrival", "-o", file]
        with monkeypatch.context() as patch:
            patch.setattr("argus_client.cli.output_options.export_progress", _interrupting)
            assert run(server, *asked).exit_code == 130
        ingest(server, 10)
        result = run(server, *asked, "--resume")
        assert result.exit_code == 0, result.stderr
        assert "no longer has" not in result.stderr
    assert sequences(file) == list(range(1, 1_001))
    assert json.loads((tmp_path / "a.csv.manifest.json").read_bytes())["removedEvents"] == 0


@contextmanager
def _interrupting(*_: object, **__: object) -> Iterator[Callable[[int, int | None], None]]:
    yield _interrupt


def _interrupt(events: int, _total: int | None) -> None:
    if events > 100:
        raise KeyboardInterrupt
