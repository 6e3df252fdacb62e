"""The command line: what goes where, what is refused and how, and how it ends."""

import io
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import click
import grpc
import pytest
from click.testing import CliRunner, Result
from google.rpc.error_details_pb2 import BadRequest
from rich.console import Console

from argus_client.cli import commands
from argus_client.cli.progress import export_progress
from argus_client.cli.words import tell_bytes
from argus_grpc.v1.export_pb2 import StreamEventsRequest
from tests.scripted import (
    EndWith,
    ScriptedExports,
    Stall,
    batch,
    header,
    scripted_server,
    status,
    summary,
)

MAIN = [sys.executable, "-c", "from argus_client.cli import main; main()"]
HEADER = "timestamp,event_type,thread_id,thread_name,carrier_thread,duration_ns\n"
ROWS = (
    "2024-01-01T00:00:00Z,VIRTUAL_THREAD_START,0,VT-0,,\n"
    "2024-01-01T00:00:00.000000001Z,VIRTUAL_THREAD_START,1,VT-1,,\n"
)


@pytest.fixture
def server() -> Iterator[ScriptedExports]:
    """Two events."""
    with scripted_server(header(2), batch(0, 2), summary(2)) as server:
        yield server


def run(*args: object, server: ScriptedExports | None = None, env: dict[str, str] | None = None) -> Result:
    at = ["--server", server.address] if server else []
    return CliRunner().invoke(commands, [*map(str, args), *at], env=env)


def asked(server: ScriptedExports, *args: str, env: dict[str, str] | None = None) -> StreamEventsRequest:
    """The request that these options make."""
    result = run("export", *args, server=server, env=env)
    assert result.exit_code == 0, result.stderr
    return server.requests[-1]


def test_data_go_to_stdout_and_all_else_to_stderr(server: ScriptedExports) -> None:
    result = run("export", server=server)
    assert (result.exit_code, result.stdout) == (0, HEADER + ROWS)
    assert result.stderr == f"2 events, {len(HEADER + ROWS)} B\n"


def test_a_file_is_written_and_told_of(server: ScriptedExports, tmp_path: Path) -> None:
    result = run("export", "-o", tmp_path / "a.csv", server=server)
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == f"2 events, {len(HEADER + ROWS)} B, {tmp_path / 'a.csv'}\n"
    assert (tmp_path / "a.csv").read_text() == HEADER + ROWS


def test_format_follows_the_ending_or_is_given(server: ScriptedExports, tmp_path: Path) -> None:
    assert run("export", "-o", tmp_path / "a.jsonl", server=server).exit_code == 0
    as_given = run("export", "--format", "JSONL", server=server).stdout
    assert (tmp_path / "a.jsonl").read_text() == as_given
    assert [json.loads(line)["threadId"] for line in as_given.splitlines()] == [0, 1]


def test_the_formats_options_reach_the_file(server: ScriptedExports) -> None:
    result = run(
        "export", "--header", "titles", "--time-precision", "ms", "--metadata", "--excel", server=server
    )
    lines = result.stdout_bytes.decode().removeprefix("\ufeff").split("\r\n")
    assert lines[0].startswith("# ")
    assert "Timestamp (UTC),Event type,Thread ID,Thread name,Carrier thread ID,Duration (ns)" in lines
    assert lines[-2].startswith("2024-01-01T00:00:00.000Z,")


def test_an_existing_file_is_not_overwritten_unasked(server: ScriptedExports, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("old")
    result = run("export", "-o", path, server=server)
    assert (result.exit_code, path.read_text()) == (1, "old")
    assert result.stderr.startswith(f"Error: {path} exists already; to replace it, say so (--overwrite")
    assert run("export", "-o", path, "--overwrite", server=server).exit_code == 0
    assert path.read_text() == HEADER + ROWS


def test_a_limit_that_cuts_is_told_and_the_file_is_whole(tmp_path: Path) -> None:
    with scripted_server(header(2), batch(0, 2), summary(2, rows_remaining=12_345)) as server:
        result = run("export", "--limit", 2, "-o", tmp_path / "a.csv", server=server)
    assert result.exit_code == 3
    assert result.stderr.endswith("a.csv, cut by --limit: 12,345 more match\n")
    assert (tmp_path / "a.csv").read_text() == HEADER + ROWS


def test_a_broken_export_fails_and_leaves_no_file(tmp_path: Path) -> None:
    with scripted_server(header(3), batch(0, 2)) as server:
        result = run("export", "-o", tmp_path / "a.csv", server=server)
    assert result.exit_code == 1
    assert result.stderr.splitlines()[0] == "Error: the stream ended without its summary, after 2 of 3 events"
    assert not (tmp_path / "a.csv").exists()


def test_every_condition_has_its_option(server: ScriptedExports) -> None:
    request = asked(
        server,
        *("--from", "2024-01-01", "--to", "2024-01-02T00:00Z", "--type", "pinned,END", "--type", "gc_pause"),
        *(
            "--source",
            "a, b",
            "--source",
            "c",
            "--thread-name",
            "VT-*",
            "--thread-id",
            "1,2",
            "--thread-id",
            "3",
        ),
        *("--carrier-thread", "4", "--min-duration", "10ms", "--max-duration", "1s", "--after", "7"),
        *("--columns", "timestamp, source", "--limit", "9", "--order", "arrival"),
    )
    query = request.query
    assert query.start_time.ToJsonString() == "2024-01-01T00:00:00Z"
    assert query.end_time.ToJsonString() == "2024-01-02T00:00:00Z"
    assert list(query.event_types) == [3, 2, 10]
    assert list(query.sources) == ["a, b", "c"]
    assert (list(query.thread_ids), list(query.carrier_threads)) == ([1, 2, 3], [4])
    assert query.thread_name.glob == "VT-*"
    assert (query.min_duration_ns, query.max_duration_ns, query.after_sequence) == (10**7, 10**9, 7)
    assert (list(request.columns), request.limit, request.order) == (["timestamp", "source"], 9, 2)


def test_no_option_asks_for_everything(server: ScriptedExports) -> None:
    request = asked(server)
    assert request.query.ByteSize() == 0
    assert (list(request.columns), request.limit, request.order) == ([], 0, 1)


def test_thread_names_can_be_matched_in_three_ways(server: ScriptedExports) -> None:
    assert asked(server, "--thread-name-contains", "a").query.thread_name.contains == "a"
    assert asked(server, "--thread-name-regex", "^a").query.thread_name.regex == "^a"


def test_the_last_minutes_count_from_now(server: ScriptedExports, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time_ns", lambda: 1_704_067_200_000_000_000)
    request = asked(server, "--last", "15m")
    assert request.query.start_time.ToJsonString() == "2023-12-31T23:45:00Z"
    assert not request.query.HasField("end_time")


def test_every_option_can_come_from_the_environment(server: ScriptedExports) -> None:
    env = {
        "ARGUS_SERVER": server.address,
        "ARGUS_TYPE": "pinned,end",
        "ARGUS_SOURCE": "two words,b",
        "ARGUS_THREAD_ID": "1,2",
        "ARGUS_COLUMNS": "all",
        "ARGUS_FORMAT": "jsonl",
        "ARGUS_METADATA": "1",
    }
    result = run("export", "--type", "START", env=env)
    assert result.exit_code == 0, result.stderr
    assert "_metadata" in json.loads(result.stdout.splitlines()[0])
    request = server.requests[-1]
    assert list(request.query.event_types) == [1]  # the command line goes first
    assert (list(request.query.sources), list(request.query.thread_ids)) == (["two words", "b"], [1, 2])
    assert list(request.columns) == ["all"]


def test_every_option_of_every_command_has_its_variable_and_help() -> None:
    for name, command in commands.commands.items():
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                flag = next(o for o in parameter.opts if o.startswith("--"))
                assert parameter.envvar == f"ARGUS_{flag[2:].replace('-', '_').upper()}"
                assert parameter.help, (name, flag)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (
            ["--type", "END,nope"],
            "Invalid value for '--type': 'nope' is not an event type; allowed: START, END",
        ),
        (["--format", "xlsx"], "'xlsx' is not one of 'csv', 'json', 'jsonl', 'parquet', 'arrow'"),
        (["--compress", "lz4"], "'lz4' is not one of 'none', 'gzip', 'zstd'"),
        (["--from", "yesterday"], "Invalid value for '--from': 'yesterday' is not a time; write 2024-01-31"),
        (["--last", "1 week"], "Invalid value for '--last': '1 week' is not a duration"),
        (["--last", "15m", "--from", "2024-01-01"], "--from and --last cannot be given together"),
        (
            ["--thread-name", "a", "--thread-name-regex", "b"],
            "--thread-name and --thread-name-regex cannot be given together",
        ),
        (["--limit", "0"], "Invalid value for '--limit': 0 is not allowed; allowed: 1 or more"),
        (["--after", "-1"], "Invalid value for '--after': -1 is not allowed; allowed: 0 or more"),
        (["--thread-id", "x"], "Invalid value for '--thread-id': 'x' is not a whole number"),
        (["--excel", "--format", "json"], "--excel: json does not have it"),
        (["--header", "titles", "-o", "x.jsonl"], "--header: jsonl has no header row"),
        (["--excel", "--format", "parquet"], "--excel: parquet does not have it"),
        (["--header", "titles", "-o", "x.arrow"], "--header: arrow has no header row"),
        (["--time-precision", "ms", "-o", "x.parquet"], "--time-precision: parquet always has nanoseconds"),
        (
            ["--compress", "zstd", "-o", "x.parquet"],
            "--compress: parquet is compressed inside, with zstd; 'zstd'",
        ),
        (
            ["-o", "x.arrow.gz"],
            "--compress: arrow is there to be mapped into memory; 'gzip' is allowed with csv",
        ),
        (
            ["--follow", "-o", "x.parquet"],
            "--follow cannot write parquet, which keeps 122,880 events back until",
        ),
        (["--nope"], "No such option"),
        (["--max-duration", "9999999d"], "--max-duration: 863999913600000000000 is beyond"),
    ],
)
def test_wrong_use_is_refused_by_the_flag_before_any_call(
    server: ScriptedExports, args: list[str], message: str
) -> None:
    result = run("export", *args, server=server)
    assert result.exit_code == 2
    assert message in result.stderr
    assert server.requests == []


def test_a_wrong_value_from_the_environment_names_the_variable(server: ScriptedExports) -> None:
    result = run("export", server=server, env={"ARGUS_LAST": "soon"})
    assert "Invalid value for '--last' (from ARGUS_LAST): 'soon' is not a duration" in result.stderr


def test_what_the_server_refuses_is_told_by_the_flag() -> None:
    violation = BadRequest.FieldViolation(field="query.end_time", description="not after query.start_time")
    told = status(grpc.StatusCode.INVALID_ARGUMENT, "bad", BadRequest(field_violations=[violation]))
    with scripted_server(told) as server:
        result = run("export", server=server)
    assert (result.exit_code, result.stderr) == (2, "Error: --to: not after --from\n")


@pytest.mark.parametrize(
    ("code", "exit_code"),
    [
        (grpc.StatusCode.INVALID_ARGUMENT, 2),
        (grpc.StatusCode.PERMISSION_DENIED, 4),
        (grpc.StatusCode.UNAUTHENTICATED, 4),
        (grpc.StatusCode.INTERNAL, 1),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, 1),
    ],
)
def test_each_failure_has_its_exit_code(code: grpc.StatusCode, exit_code: int) -> None:
    with scripted_server(EndWith(code, "because")) as server:
        result = run("export", server=server)
    assert (result.exit_code, result.stdout) == (exit_code, "")
    assert "because" in result.stderr


def test_an_unexpected_error_is_a_sentence_and_on_request_a_traceback(
    server: ScriptedExports, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("argus_client.client.ExportClient.export", lambda *_, **__: 1 / 0)
    result = run("export", server=server)
    assert result.exit_code == 1
    assert result.stderr.startswith(
        "Error: internal error (ZeroDivisionError: division by zero). Please report"
    )
    assert "Traceback" not in result.stderr
    assert "Traceback" in run("export", server=server, env={"ARGUS_DEBUG": "1"}).stderr


def start(*args: object, server: ScriptedExports, **popen: object) -> "subprocess.Popen[bytes]":
    command = [*MAIN, *map(str, args), "--server", server.address]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **popen)  # type: ignore[call-overload, no-any-return]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_leaves_what_can_be_gone_on_with_and_calls_the_export_off(
    tmp_path: Path, number: signal.Signals
) -> None:
    with (
        scripted_server(header(3), batch(0, 2), Stall()) as server,
        start("export", "-o", tmp_path / "a.csv", server=server) as process,
    ):
        deadline_s = time.monotonic() + 20
        while not (tmp_path / "a.csv.part.checkpoint").exists():
            assert time.monotonic() < deadline_s
            time.sleep(0.01)
        process.send_signal(number)
        _, stderr = process.communicate(timeout=20)
        assert process.returncode == 130
        assert stderr.decode().splitlines() == [
            "Error: interrupted",
            f"What came is kept in {tmp_path / 'a.csv.part'}; "
            "the same command with --resume goes on from there.",
        ]
        kept = sorted(path.name for path in tmp_path.iterdir())
        assert kept == ["a.csv.part", "a.csv.part.checkpoint"]
        assert server.call_ended.wait(5)


def test_a_closed_pipe_ends_quietly_and_calls_the_export_off() -> None:
    more_than_a_pipe_holds = batch(0, 5_000)
    with (
        scripted_server(header(9_000), more_than_a_pipe_holds, Stall()) as server,
        start("export", server=server) as process,
    ):
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == HEADER.encode()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(20) == 141
        assert server.call_ended.wait(5)


def test_a_full_disk_behind_stdout_is_told(server: ScriptedExports) -> None:
    with Path("/dev/full").open("wb") as full:
        command = [*MAIN, "export", "--server", server.address]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, check=False, timeout=20)
    assert done.returncode == 1
    assert done.stderr == b"Error: cannot write standard output: No space left on device\n"


def test_the_version_is_told() -> None:
    done = subprocess.run([*MAIN, "--version"], capture_output=True, text=True, check=True, timeout=20)
    name, version = done.stdout.split()
    assert name == "argus-client"
    assert version[0].isdigit()


def test_the_progress_bar_shows_events_in_all_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    for is_terminal in (True, False):
        screen = io.StringIO()
        console = Console(file=screen, force_terminal=True, width=120)
        monkeypatch.setattr("argus_client.cli.progress_bar.Console", lambda console=console, **_: console)
        monkeypatch.setattr(sys.stderr, "isatty", lambda is_terminal=is_terminal: is_terminal)
        with export_progress("a.csv", hidden=False) as show:
            show(1_234, 5_678)
        assert ("1,234 / 5,678 events" in screen.getvalue()) is is_terminal


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1_000, "1.0 kB"),
        (999_949, "999.9 kB"),
        (999_951, "1.0 MB"),
        (10**12, "1.0 TB"),
    ],
)
def test_sizes_are_told_in_powers_of_a_thousand(size_bytes: int, text: str) -> None:
    assert tell_bytes(size_bytes) == text
