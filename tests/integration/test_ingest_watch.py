"""`argus-client ingest --watch`, as a process: files that come, change and are broken, a server that goes
away, and how it ends."""

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import RunningServer
from tests.jfr_oracle import COUNTS, DATA, JFR
from tests.processes import ENVIRONMENT, server_process

pytestmark = pytest.mark.duckdb

_QUICKLY = """
from argus_client.cli import ingest_watch, main
ingest_watch.POLL_INTERVAL_S = 0.05
main()
"""


class Watch:
    """The process, whose lines are read as they come."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        self.lines: list[str] = []

    def wait_for(self, text: str) -> str:
        """Reads up to the line that has the text, and returns it."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line.rstrip("\n"))
            if text in line:
                return self.lines[-1]
        raise AssertionError(f"it ended without saying {text!r}, but: {self.lines}")

    def stop(self, number: signal.Signals = signal.SIGTERM) -> list[str]:
        """Ends it; returns all its lines."""
        self.process.send_signal(number)
        assert self.process.stderr is not None
        self.lines += self.process.stderr.read().splitlines()
        self.process.wait(60)
        return self.lines


@contextmanager
def watching(folder: Path, address: str, *options: str) -> Iterator[Watch]:
    command = [
        sys.executable,
        "-c",
        _QUICKLY,
        "ingest",
        "--watch",
        str(folder),
        "--server",
        address,
        *options,
    ]
    with subprocess.Popen(command, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True) as process:
        try:
            watch = Watch(process)
            watch.wait_for("Watching ")
            yield watch
        finally:
            process.kill()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "dumps"
    path.mkdir()
    return path


def put(path: Path, *timestamps: int) -> None:
    """The events as JSON Lines, under a hidden name first."""
    hidden = path.with_name(f".{path.name}")
    hidden.write_text("".join(json.dumps({"timestamp": n, "eventType": "START"}) + "\n" for n in timestamps))
    hidden.rename(path)


def sources(server: RunningServer) -> dict[str, int]:
    return dict(server.sql("SELECT source, count(*) FROM events GROUP BY source"))


def wait_until(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


def test_files_that_are_there_and_that_come(server: RunningServer, folder: Path) -> None:
    put(folder / "a.jsonl", 1, 2)
    with watching(folder, server.address, "--jfr", JFR) as watch:
        watch.wait_for("a.jsonl: stored 2 events (sequence 1 to 2)")
        (folder / "notes.txt").write_text("notes")
        watch.wait_for("notes.txt: left out, neither a recording nor an export")
        # By growth: a recording is not taken before it is whole.
        content = (DATA / "vt25.jfr").read_bytes()
        with (folder / "vt25.jfr").open("wb", buffering=0) as file:
            file.write(content[:600_000])
            watch.wait_for("vt25.jfr is cut off: the chunk at byte 0 should have 1,122,968 bytes")
            file.write(content[600_000:900_000])
            file.write(content[900_000:])
        total = sum(COUNTS["vt25"].values())
        watch.wait_for(f"vt25.jfr: stored {total:,} events")
        put(folder / "a.jsonl", 3)
        watch.wait_for("a.jsonl: stored 1 event ")
        lines = watch.stop()
    assert watch.process.returncode == 0
    assert lines.count(f"3 files: stored {total + 3:,} events") == 1
    assert sources(server) == {"a": 3, "vt25": total}

    put(folder / "b.jsonl", 1)
    with watching(folder, server.address, "--jfr", JFR) as again:
        again.wait_for("b.jsonl: stored 1 event ")
        lines = again.stop(signal.SIGINT)
    assert again.process.returncode == 0
    assert not [line for line in lines if "a.jsonl" in line or "vt25.jfr" in line]


def test_a_file_that_is_broken_is_told_once_and_taken_when_it_is_mended(
    server: RunningServer, folder: Path
) -> None:
    broken = folder / "a.jsonl"
    broken.write_text('{"timestamp": 1}\n')
    refused = folder / "b.csv"
    refused.write_text("timestamp,event_type,thread_id\n1,START,0\n")
    with watching(folder, server.address) as watch:
        watch.wait_for(f"{broken}, line 1: has no eventType, which every event needs; it is tried again when")
        told = watch.wait_for(f"{refused}, event 1: thread_id: ")
        assert "or unset; it is tried again when it changes" in told
        put(folder / "c.jsonl", 1)
        watch.wait_for("c.jsonl: stored 1 event ")
        put(broken, 1, 2, 3)
        watch.wait_for("a.jsonl: stored 3 events ")
        lines = watch.stop()
    assert sum("line 1: has no eventType" in line for line in lines) == 1
    assert sources(server) == {"a": 3, "c": 1}


def test_a_service_that_is_away_only_delays(folder: Path, tmp_path: Path) -> None:
    db = tmp_path / "events.duckdb"
    with server_process(db) as first:
        address = first.address
        first.stop()
    put(folder / "a.jsonl", 1)
    with watching(folder, address) as watch:
        watch.wait_for(f"no server answers at {address}")
        with server_process(db, "--listen", address):
            watch.wait_for("a.jsonl: stored 1 event (sequence 1 to 1)")
        put(folder / "b.jsonl", 2)
        watch.wait_for("trying again in")
        with server_process(db, "--listen", address):
            watch.wait_for("b.jsonl: stored 1 event (sequence 2 to 2)")
        watch.stop()
    assert watch.process.returncode == 0


def test_ended_within_a_file_it_says_so(folder: Path) -> None:
    put(folder / "a.jsonl", 1)
    with watching(folder, "127.0.0.1:1") as watch:
        watch.wait_for("no server answers")
        lines = watch.stop()
    assert watch.process.returncode == 130
    assert lines[-2:] == [
        "Error: interrupted",
        f"{folder}/a.jsonl was not through; the same command goes on with it, and stores nothing twice.",
    ]


def test_killed_between_storing_and_remembering_it_stores_nothing_twice(
    server: RunningServer, folder: Path
) -> None:
    put(folder / "a.jsonl", 1, 2)
    with watching(folder, server.address) as watch:
        watch.wait_for("a.jsonl: stored 2 events")
        watch.process.kill()
        watch.process.wait()
    (folder / ".argus-client-ingested.json").unlink(missing_ok=True)
    with watching(folder, server.address) as again:
        again.wait_for("a.jsonl: stored 0 events, 2 were there already")
        again.stop()
    assert sources(server) == {"a": 2}


def test_a_folder_that_goes_away_ends_it(server: RunningServer, folder: Path) -> None:
    with watching(folder, server.address) as watch:
        shutil.rmtree(folder)
        watch.wait_for(f"Error: {folder} is not there any more, or no folder")
        assert watch.process.wait(60) == 1
