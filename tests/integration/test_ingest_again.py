"""An ingest that is interrupted, killed or cut and run again stores each event once."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import pytest

from argus_client import ExportClient
from argus_client.ingest import DEFAULT_MAX_BATCH_EVENTS
from tests.client_process import start_client
from tests.conftest import RunningServer, start_server
from tests.processes import ENVIRONMENT, server_process
from tests.proxy import proxy_to

pytestmark = pytest.mark.duckdb

INGEST = (sys.executable, "-m", "argus_client", "ingest")
EVENTS = 4 * DEFAULT_MAX_BATCH_EVENTS + 7


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The same number of events as JSON Lines and as CSV."""
    folder = tmp_path_factory.mktemp("files")
    lines, table = folder / "a.jsonl", folder / "b.csv"
    with lines.open("w") as file:
        file.writelines(json.dumps({"timestamp": n, "eventType": "PINNED"}) + "\n" for n in range(EVENTS))
    with table.open("w") as file:
        file.write("timestamp,event_type,stack_trace\n")
        file.writelines(f"{n},PINNED,{'x' * 100}\n" for n in range(EVENTS))
    return [lines, table]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RunningServer]:
    yield from start_server(tmp_path)


def count(server: RunningServer) -> int:
    ((events,),) = server.sql("SELECT count(*) FROM events")
    return int(events)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.002)


def kill_when_there_is_more(process: ForkServerProcess, server: RunningServer) -> None:
    stored = count(server)
    wait_until(lambda: count(server) > stored or not process.is_alive())
    process.kill()
    process.join()


def check_each_once(server: RunningServer) -> None:
    rows = server.sql(
        "SELECT source, count(*), count(DISTINCT timestamp), min(timestamp), max(timestamp) "
        "FROM events GROUP BY source ORDER BY source"
    )
    assert rows == [(name, EVENTS, EVENTS, 0, EVENTS - 1) for name in ("a", "b")]


def run(address: str, files: list[Path]) -> "subprocess.CompletedProcess[str]":
    command = [*INGEST, "--server", address, *map(str, files)]
    return subprocess.run(command, env=ENVIRONMENT, check=False, capture_output=True, text=True)


def test_killed_again_and_again_and_run_again(server: RunningServer, files: list[Path]) -> None:
    for kill in range(4):
        process = start_client(
            "ingest", "--server", server.address, *map(str, files), checkpoint_interval_s=1
        )
        # Each time it gets through what is there, and a little farther.
        kill_when_there_is_more(process, server)
        assert process.exitcode == -signal.SIGKILL, f"it ended before kill {kill}"
    result = run(server.address, files)
    assert result.returncode == 0, result.stderr
    assert " were there already" in result.stderr
    check_each_once(server)
    again = run(server.address, files)
    assert again.stderr.splitlines()[-1] == f"2 files: stored 0 events, {2 * EVENTS:,} were there already"
    check_each_once(server)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_says_what_is_stored_and_run_again_stores_the_rest(
    number: signal.Signals, server: RunningServer, files: list[Path]
) -> None:
    command = [*INGEST, "--server", server.address, *map(str, files)]
    with subprocess.Popen(command, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True) as process:
        wait_until(lambda: count(server) > DEFAULT_MAX_BATCH_EVENTS)
        process.send_signal(number)
        _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert told.startswith(f"{files[0]}: stored ")
    assert told.endswith(
        "Error: interrupted\nWhat is stored is not stored twice: run it again to store the rest.\n"
    )
    assert run(server.address, files).returncode == 0
    check_each_once(server)


def test_a_connection_that_breaks_behind_each_answer_s_commit(
    server: RunningServer, files: list[Path]
) -> None:
    cuts = 3
    with proxy_to(server.address) as proxy:
        command = [
            sys.executable,
            "-m",
            "argus_client",
            "ingest",
            "--server",
            proxy.address,
            *map(str, files),
        ]
        proxy.stop_at(1.5)
        with subprocess.Popen(command, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True) as process:
            for _ in range(cuts):
                # The second batch is committed, and its answer is kept back.
                proxy.wait_until_stopped()
                proxy.cut()
                proxy.stop_at(0.5)
            proxy.wait_until_stopped()
            proxy.cut()
            _, told = process.communicate(timeout=120)
    assert process.returncode == 0, told
    assert told.count("went away; trying again in") > cuts
    check_each_once(server)


def test_a_server_that_is_killed_and_started_again(tmp_path: Path, files: list[Path]) -> None:
    db = tmp_path / "events.duckdb"
    with server_process(db) as first:
        address = first.address
        command = [*INGEST, "--server", address, *map(str, files)]
        with subprocess.Popen(command, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True) as process:
            assert process.stderr is not None
            with ExportClient(address) as client:
                wait_until(lambda: client.plan().total_events > DEFAULT_MAX_BATCH_EVENTS)
            first.process.kill()
            first.process.wait()
            # The client has noticed.
            assert any("trying again in" in line for line in process.stderr)
            with server_process(db, "--listen", address):
                process.communicate(timeout=120)
    assert process.returncode == 0
    for running in start_server(tmp_path):
        check_each_once(running)
