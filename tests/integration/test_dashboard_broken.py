"""A download that breaks off is seen to, and one whose reader is gone costs nothing any more."""

import http.client
import json
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Self

import pytest

from tests.conftest import RunningServer, start_server
from tests.dashboard import DashboardProcess, curl, dashboard_process, needs_curl
from tests.quick_server import quick_server
from tests.synthetic import make_store

pytestmark = needs_curl

ROWS = 300_000
# More than the sockets and all that waits between can hold.
ALL_COLUMNS = "/export?columns=all"
PARTIAL_FILE, RECEIVE_ERROR = 18, 56


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("stock") / "events.duckdb"
    make_store(path, ROWS)
    return path


@pytest.fixture
def server(database: Path) -> Iterator[RunningServer]:
    yield from start_server(database.parent)


class Reader:
    """A download of which nothing is read beyond its first bytes until read_on() is called."""

    def __init__(self, dashboard: DashboardProcess, target: str) -> None:
        host, _, port = dashboard.address.rpartition(":")
        self._connection = http.client.HTTPConnection(host, int(port), timeout=60)
        self._connection.request("GET", target)
        self._answer = self._connection.getresponse()
        assert self._answer.status == 200
        assert self._answer.read(10) == b"sequence,t"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.go_away()

    def go_away(self) -> None:
        self._answer.close()
        self._connection.close()

    def read_on(self) -> bytes:
        return self._answer.read()


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DashboardProcess]:
    """Of a server that each test starts, and kills, at the address `server` of its flags."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    folder = tmp_path_factory.mktemp("impatient")
    with dashboard_process(folder, address, "--retry-for-s", "0") as dashboard:
        yield dashboard


def server_of(dashboard: DashboardProcess) -> str:
    arguments = dashboard.process.args
    assert isinstance(arguments, list)
    return str(arguments[arguments.index("--server") + 1])


@pytest.mark.parametrize(
    ("flags", "query", "exit_code"),
    [
        ([], "", PARTIAL_FILE),
        (["--compressed"], "", PARTIAL_FILE),
        ([], "&compress=gzip", PARTIAL_FILE),
        (["--http1.0"], "", RECEIVE_ERROR),
        (["--http1.0", "--compressed"], "", RECEIVE_ERROR),
    ],
    ids=str,
)
def test_a_killed_server_makes_curl_fail(
    impatient: DashboardProcess, database: Path, flags: list[str], query: str, exit_code: int
) -> None:
    with quick_server(database, "--listen", server_of(impatient)) as server:
        command = ["curl", "--silent", *flags, "--limit-rate", "5M", impatient.url + ALL_COLUMNS + query]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as reader:
            assert reader.stdout is not None
            assert reader.stdout.read(100_000)
            server.stop(signal.SIGKILL)
            reader.stdout.read()
            assert reader.wait(timeout=60) == exit_code
        assert "went away, after" in impatient.log.read_text()


def test_a_server_that_comes_back_soon_is_waited_for(database: Path, tmp_path: Path) -> None:
    with (
        quick_server(database) as server,
        dashboard_process(tmp_path, server.address, "--retry-for-s", "60") as dashboard,
    ):
        whole = curl(dashboard.url + ALL_COLUMNS).body
        with Reader(dashboard, ALL_COLUMNS) as reader:
            server.stop(signal.SIGKILL)
            with quick_server(database, "--listen", server.address):
                assert b"sequence,t" + reader.read_on() == whole


def test_a_dashboard_that_is_killed_or_stopped_leaves_no_whole_answer(
    server: RunningServer, tmp_path: Path
) -> None:
    for number in (signal.SIGKILL, signal.SIGTERM):
        with (
            dashboard_process(tmp_path, server.address, "--shutdown-grace-s", "0.1") as dashboard,
            Reader(dashboard, ALL_COLUMNS) as reader,
        ):
            assert dashboard.stop(number) == (-signal.SIGKILL if number == signal.SIGKILL else 0)
            with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
                reader.read_on()


def test_a_reader_that_goes_away_ends_the_call_at_the_server(database: Path, tmp_path: Path) -> None:
    for running in start_server(database.parent, max_exports=1, max_queued=0):
        with (
            dashboard_process(tmp_path, running.address) as dashboard,
            Reader(dashboard, ALL_COLUMNS) as reader,
        ):
            refused = curl(f"{dashboard.url}/export?limit=1")
            assert (refused.status, b"max_exports" in refused.body) == (429, True)
            assert int(refused.headers["retry-after"]) >= 1
            reader.go_away()
            # The server's only slot comes free.
            while (status := curl(f"{dashboard.url}/export?limit=1").status) == 429:
                pass
            assert status == 200
            assert "the reader went away" in dashboard.log.read_text()


def test_readers_that_stop_hold_up_nobody_but_are_dropped(server: RunningServer, tmp_path: Path) -> None:
    flags = ("--max-downloads", "4", "--stall-timeout-s", "2")
    with dashboard_process(tmp_path, server.address, *flags) as dashboard, ExitStack() as stack:
        stalled = [stack.enter_context(Reader(dashboard, ALL_COLUMNS)) for _ in range(3)]
        assert curl(f"{dashboard.url}/export?limit=5").body.count(b"\n") == 6
        assert curl(f"{dashboard.url}/api/plan").status == 200
        while dashboard.log.read_text().count("the reader stalled") < 3:
            pass
        for reader in stalled:
            with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
                reader.read_on()


def test_a_download_too_many_is_refused_by_the_limits_name(server: RunningServer, tmp_path: Path) -> None:
    with (
        dashboard_process(tmp_path, server.address, "--max-downloads", "2") as dashboard,
        ExitStack() as stack,
    ):
        readers = [stack.enter_context(Reader(dashboard, ALL_COLUMNS)) for _ in range(2)]
        refused = curl(f"{dashboard.url}/export")
        assert refused.status == 429
        assert b"max_downloads: the limit of 2 downloads at once is reached" in refused.body
        assert int(refused.headers["retry-after"]) >= 1
        # What is no download goes on.
        assert curl(f"{dashboard.url}/api/events").status == 200
        readers[0].go_away()
        while (status := curl(f"{dashboard.url}/export?limit=1").status) == 429:
            pass
        assert status == 200
        assert len(re.findall(b"\n", readers[1].read_on())) >= ROWS


def test_a_server_that_is_not_there_is_told_before_200(tmp_path: Path) -> None:
    with socket.socket() as taken:
        # Bound, but nobody listens there.
        taken.bind(("127.0.0.1", 0))
        with dashboard_process(tmp_path, f"127.0.0.1:{taken.getsockname()[1]}") as dashboard:
            for path in (
                "/export",
                "/api/plan",
                "/api/columns",
                "/api/events",
                "/api/aggregate",
                "/api/follow",
            ):
                answer = curl(dashboard.url + path)
                assert answer.status == 503, path
                assert answer.headers["content-type"] == "application/problem+json"
                told = json.loads(answer.body)
                assert told["detail"].startswith("the Argus server cannot be reached; ")
                # Where it is, is for those alone whom it knows, and for the log.
                assert b"127.0.0.1" not in answer.body
                assert told["requestId"] in dashboard.log.read_text()
                assert int(answer.headers["retry-after"]) >= 1
            assert "no server answers at 127.0.0.1:" in dashboard.log.read_text()
            health = curl(f"{dashboard.url}/healthz")
            assert (health.status, health.body) == (503, b'{"status":"unavailable","server":"unreachable"}')
            assert curl(f"{dashboard.url}/").status == 200
