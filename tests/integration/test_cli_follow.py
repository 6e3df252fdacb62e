"""`argus-client export --follow`: at once to standard output, into a file that a signal ends whole, and
gone on with after a kill."""

import csv
import gzip
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from click.testing import CliRunner, Result
from rich.console import Console

from argus_client import ExportClient
from argus_client.cli import commands
from argus_client.cli.progress import export_progress
from argus_client.manifest import manifest_path, read_manifest
from argus_client.verification import verify_file
from argus_grpc import follow
from tests.client_process import start_client
from tests.conftest import RunningServer
from tests.processes import ENVIRONMENT
from tests.scripted import Stall, batch, header, progress, scripted_server, summary

PATIENCE_S = 20.0
COMMAND = [sys.executable, "-m", "argus_client", "export", "--follow"]


def ingest(server: RunningServer, rows: int) -> int:
    """Events of falling timestamps; returns the last one's sequence."""
    with ExportClient(server.address) as client:
        result = client.ingest_arrow(
            pa.record_batch(
                {
                    "timestamp": pa.array(range(rows, 0, -1), pa.timestamp("ns", tz="UTC")),
                    "event_type": ["VIRTUAL_THREAD_START"] * rows,
                    "source": ["s"] * rows,
                    "thread_name": [f"a name of some length {row}" for row in range(rows)],
                }
            )
        )
    assert result.last_sequence is not None
    return result.last_sequence


def wait_until(condition: Callable[[], bool], process: "subprocess.Popen[str] | ForkServerProcess") -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline_s
        assert process.poll() is None if isinstance(process, subprocess.Popen) else process.is_alive()
        time.sleep(0.005)


def start(address: str, *args: object) -> "subprocess.Popen[str]":
    command = [*COMMAND, "--server", address, *map(str, args)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT
    )


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_each_event_is_on_stdout_as_it_comes_and_a_signal_ends_it_whole(
    server: RunningServer, number: signal.Signals
) -> None:
    ingest(server, 2)
    with start(server.address, "--columns", "sequence") as process:
        assert process.stdout is not None
        assert [process.stdout.readline() for _ in range(3)] == ["sequence\n", "2\n", "1\n"]
        for _ in range(3):
            last = ingest(server, 1)
            assert process.stdout.readline() == f"{last}\n"
        process.send_signal(number)
        rest, said = process.communicate(timeout=PATIENCE_S)
        assert (process.returncode, rest) == (0, "")
        assert said == f"5 events, {len('sequence') + 1 + 5 * 2} B\n"


def whole_lines(path: Path) -> int:
    """How many lines there are in a file that is being written."""
    if not path.exists():
        return 0
    data = path.read_bytes()
    if ".gz" in path.suffixes:
        try:
            data = gzip.decompress(data)
        except EOFError:
            return 0
    return data.count(b"\n")


def test_a_reader_that_has_gone_is_noticed_while_nothing_comes(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "HEARTBEAT_S", 0.05)
    with start(server.address) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith("timestamp,")
        process.stdout.close()
        assert process.wait(PATIENCE_S) == 141
        assert process.stderr.read() == ""


def test_a_signal_gives_the_file_its_name_and_its_proof(server: RunningServer, tmp_path: Path) -> None:
    path = tmp_path / "out" / "a.jsonl"
    path.parent.mkdir()
    part = path.with_name("a.jsonl.part")
    ingest(server, 3)
    with start(server.address, "-o", path, "--columns", "sequence") as process:
        wait_until(lambda: whole_lines(part) == 3, process)
        last = ingest(server, 1)
        wait_until(lambda: whole_lines(part) == 4, process)
        assert not path.exists()
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0, said
    assert said == f"4 events, {path.stat().st_size} B, {path}\n"
    assert [json.loads(line)["sequence"] for line in path.read_text().splitlines()] == [3, 2, 1, 4]
    assert names(path.parent) == ["a.jsonl", "a.jsonl.manifest.json"]
    assert verify_file(path).is_whole
    assert read_manifest(manifest_path(path))["watermark"] == last


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz"])
def test_killed_and_resumed_it_ends_as_if_nothing_had_happened(
    server: RunningServer, tmp_path: Path, name: str
) -> None:
    path, part = tmp_path / "out" / name, tmp_path / "out" / f"{name}.part"
    path.parent.mkdir()
    line = ["export", "--follow", "--server", server.address, "-o", str(path)]
    line += ["--columns", "sequence,thread_name", "--order", "arrival"]
    rows = 40_000  # more than a block of compression
    ingest(server, rows)

    def ingest_and_wait(process: ForkServerProcess) -> None:
        there = whole_lines(part)
        ingest(server, rows)
        wait_until(lambda: whole_lines(part) > there, process)

    for kill in range(3):
        process = start_client(*line, *["--resume"] * (kill > 0), checkpoint_interval_s=0.05)
        ingest_and_wait(process)
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL
    process = start_client(*line, "--resume", checkpoint_interval_s=0.05)
    before = ingest(server, rows)
    # Not all of it was there when the process began: its call is under way.
    wait_until(lambda: whole_lines(part) > before - rows + 1, process)
    ingest(server, rows)
    # What came after the call began can only be new: the snapshot is through.
    wait_until(lambda: whole_lines(part) > before + 1, process)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGTERM)
    process.join()
    assert process.exitcode == 0

    data = path.read_bytes()
    text = (gzip.decompress(data) if name.endswith(".gz") else data).decode()
    heading, *found = csv.reader(io.StringIO(text))
    assert heading == ["sequence", "thread_name"]
    assert found == [[f"{i + 1}", f"a name of some length {i % rows}"] for i in range(len(found))]
    assert before < len(found) == read_manifest(manifest_path(path))["watermark"]
    assert names(path.parent) == [name, f"{name}.manifest.json"]
    assert verify_file(path).is_whole


@pytest.mark.parametrize(
    ("script", "events", "signals"),
    [
        ((header(3), batch(0, 2), Stall()), 2, 1),  # the snapshot is not through
        # With the third event in the file, the client has read that the snapshot is through.
        ((header(2), batch(0, 2), progress(2), batch(2, 1), Stall()), 3, 2),
    ],
)
def test_an_interrupt_of_the_snapshot_and_a_second_one_leave_what_can_be_gone_on_with(
    script: tuple[Any, ...], events: int, signals: int, tmp_path: Path
) -> None:
    path = tmp_path / "a.csv"
    last = (header(3, first_row=3), Stall())
    with (
        scripted_server(*script, then=[last]) as server,
        start(server.address, "-o", path, "--retry-for", "0") as process,
    ):
        for number in range(1, signals + 1):
            wait_until(
                lambda number=number: len(server.requests) == number and server.has_stalled.is_set(),  # type: ignore[misc]
                process,
            )
            server.has_stalled.clear()
            wait_until(lambda: whole_lines(tmp_path / "a.csv.part") == 1 + events, process)
            process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 130
        assert said.splitlines() == [
            "Error: interrupted",
            f"What came is kept in {path}.part; the same command with --resume goes on from there.",
        ]
    assert names(tmp_path) == ["a.csv.part", "a.csv.part.checkpoint"]


def run(*args: object, env: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(commands, ["export", *map(str, args)], env=env)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--limit", "3"], "--follow and --limit cannot be given together: it has no end"),
        (
            ["--format", "json"],
            "--follow cannot write json, which says how many events it has; take --format",
        ),
        (["-o", "a.json.gz"], "--follow cannot write json"),
    ],
)
def test_what_cannot_be_followed_is_refused_before_any_call(args: list[str], message: str) -> None:
    with scripted_server(header(0), summary(0)) as server:
        result = run("--follow", *args, "--server", server.address)
        assert (result.exit_code, server.requests) == (2, [])
    assert message in result.stderr


def test_it_can_come_from_the_environment() -> None:
    with scripted_server(header(0), summary(0)) as server:
        result = run("--server", server.address, env={"ARGUS_FOLLOW": "1"})
        assert [request.follow for request in server.requests] == [True]
    assert (result.exit_code, result.stderr) == (
        1,
        "Error: the server sent a summary of an export that is followed, after 0 events\n",
    )


def test_since_last_moves_on_by_all_that_was_followed(server: RunningServer, tmp_path: Path) -> None:
    state = ["--since-last", tmp_path / "state.json", "--columns", "sequence"]
    ingest(server, 3)
    for to_file in (True, False):
        path = tmp_path / "a.csv"
        where = ["-o", path] if to_file else []
        with start(server.address, *state, *where) as process:
            assert process.stdout is not None
            last = ingest(server, 1) if not to_file else 3
            if to_file:
                wait_until(lambda: whole_lines(tmp_path / "a.csv.part") == 4, process)
                last = ingest(server, 1)
                wait_until(lambda: whole_lines(tmp_path / "a.csv.part") == 5, process)
            else:
                while process.stdout.readline() != f"{last}\n":
                    pass
                last = ingest(server, 1)
                assert process.stdout.readline() == f"{last}\n"
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=PATIENCE_S)
            assert process.returncode == 0, said
        again = run(*state, "--server", server.address)
        assert (again.exit_code, again.stdout) == (0, "sequence\n")


def test_the_bar_has_no_total_while_following(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=120)
    monkeypatch.setattr("argus_client.cli.progress_bar.Console", lambda **_: console)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with export_progress("a.csv", hidden=False) as show:
        show(1_234, 1_234)
        show(1_235, None)
    *_, shown = [line for line in screen.getvalue().splitlines() if "events" in line]
    assert "1,235 events" in shown
    assert "following" in shown
