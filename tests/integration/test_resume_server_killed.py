"""A server is killed during an export and started again: the client carries on by itself."""

import re
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from argus_client import ArgusClientError, EventQuery, ExportClient
from tests.processes import ENVIRONMENT, server_process
from tests.proxy import proxy_to
from tests.synthetic import make_store

pytestmark = pytest.mark.duckdb

EVENTS = 300_000
MAIN = [sys.executable, "-m", "argus_client"]


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("store") / "events.duckdb"
    make_store(path, EVENTS)
    return path


def test_the_library_carries_on(database: Path, tmp_path: Path) -> None:
    uncut, resumed = tmp_path / "uncut.json.zst", tmp_path / "resumed.json.zst"
    with ExitStack() as servers:
        server = servers.enter_context(server_process(database))
        with ExportClient(server.address) as client:
            with client.export() as export:
                assert export.header.total_events == EVENTS
                start = export.resume_point
            client.export(resume_from=start).write(uncut)

            told: list[ArgusClientError] = []
            rows_when_killed: list[int] = []

            def start_again(_attempt: int, _wait_s: float, error: ArgusClientError) -> None:
                if not told:
                    servers.enter_context(server_process(database, "--listen", server.address))
                told.append(error)

            def kill(rows: int) -> None:
                if rows >= EVENTS // 4 and not rows_when_killed:
                    rows_when_killed.append(rows)
                    server.stop(signal.SIGKILL)

            # The token of its beginning makes it the same export, down to exportedAt.
            cut = client.export(resume_from=start, on_retry=start_again)
            cut.write(resumed, on_progress=kill)
    assert rows_when_killed[0] < EVENTS // 2
    assert f"after {rows_when_killed[0]:,} of {EVENTS:,} events" in str(told[0])
    assert resumed.read_bytes() == uncut.read_bytes()


def test_the_command_line_carries_on_and_says_so(database: Path, tmp_path: Path) -> None:
    command = [*MAIN, "export", "--columns", "all", "--type", "PINNED,EXECUTION_SAMPLE", "-o"]
    with ExitStack() as servers:
        server = servers.enter_context(server_process(database))
        subprocess.run(
            [*command, tmp_path / "uncut.csv.gz", "--server", server.address], env=ENVIRONMENT, check=True
        )
        with ExportClient(server.address) as client:
            matching = client.plan(EventQuery(types=["PINNED", "EXECUTION_SAMPLE"])).total_events
        proxy = servers.enter_context(proxy_to(server.address))
        proxy.stop_at(4.5)
        with subprocess.Popen(
            [*command, tmp_path / "cut.csv.gz", "--server", proxy.address],
            stderr=subprocess.PIPE,
            text=True,
            env=ENVIRONMENT,
        ) as process:
            assert process.stderr is not None
            proxy.wait_until_stopped()
            server.stop(signal.SIGKILL)
            proxy.cut()
            told = process.stderr.readline()
            assert re.fullmatch(
                rf"the server at {proxy.address} went away, after [\d,]+ of {matching:,} events; "
                r"trying again in \d+\.\d s\n",
                told,
            )
            servers.enter_context(server_process(database, "--listen", server.address))
            _, rest = process.communicate(timeout=60)
            assert process.returncode == 0, rest
            assert f"{matching:,} events, " in rest
    assert (tmp_path / "cut.csv.gz").read_bytes() == (tmp_path / "uncut.csv.gz").read_bytes()
