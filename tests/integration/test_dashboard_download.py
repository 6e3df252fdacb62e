"""GET /api/download tells how a download with a download_id goes, and how it ended."""

import http.client
import json
import shutil
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.dashboard import dashboard_process
from tests.quick_server import QuickServer, quick_server
from tests.synthetic import make_store

ROWS = 300_000
ID = "0123456789abcdef"
TIMEOUT_S = 60


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database to be copied; no server has it open."""
    path = tmp_path_factory.mktemp("store") / "events.duckdb"
    make_store(path, ROWS)
    return path


@pytest.fixture(scope="module")
def server(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[QuickServer]:
    with quick_server(copied(store, tmp_path_factory.mktemp("server"))) as server:
        yield server


def copied(store: Path, folder: Path) -> Path:
    return Path(shutil.copy(store, folder))


@pytest.fixture(scope="module")
def host(server: QuickServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("dashboard")
    with dashboard_process(folder, server.address, "--retry-for-s", "0") as dashboard:
        yield dashboard.address


@contextmanager
def get(host: str, path: str) -> Iterator[http.client.HTTPResponse]:
    with closing(http.client.HTTPConnection(host, timeout=TIMEOUT_S)) as connection:
        connection.request("GET", path)
        with connection.getresponse() as answer:
            yield answer


def told(host: str, id: str = ID) -> dict[str, Any]:
    with get(host, f"/api/download?download_id={id}") as answer:
        status: dict[str, Any] = json.load(answer)
    return status


def told_at_the_end(host: str) -> dict[str, Any]:
    give_up_s = time.monotonic() + TIMEOUT_S
    while (answer := told(host))["state"] == "running":
        assert time.monotonic() < give_up_s, answer
    return answer


def test_how_each_download_ended_is_told(host: str, server: QuickServer) -> None:
    assert told(host)["state"] == "unknown"
    export = f"/export?columns=all&download_id={ID}"

    # Whole: what was counted is what came.
    with get(host, f"{export}&type=PINNED&format=jsonl") as answer:
        body = answer.read()
    whole = told_at_the_end(host)
    rows = body.count(b"\n")
    assert whole == {
        "state": "whole",
        "reason": None,
        "rows": rows,
        "totalEvents": rows,
        "bytes": len(body),
    }

    # Called off by a reader that goes away, with most of it to come.
    with get(host, export) as answer:
        answer.read(1_000)
        going = told(host)
    assert (going["state"], going["totalEvents"]) == ("running", ROWS)
    assert going["rows"] < ROWS
    assert told_at_the_end(host)["state"] == "cancelled"

    # Broken by the server's death.
    with get(host, export) as answer:
        answer.read(1_000)
        server.stop(signal.SIGKILL)
        with pytest.raises(http.client.IncompleteRead):
            answer.read()
    broken = told_at_the_end(host)
    assert broken["state"] == "broken"
    assert server.address in broken["reason"]
    assert broken["rows"] < ROWS

    # Refused, since there is no server any more.
    with get(host, export) as answer:
        assert answer.status == 503
    refused = told_at_the_end(host)
    assert refused["state"] == "refused"
    assert server.address in refused["reason"]
    assert told(host, "fedcba9876543210")["state"] == "unknown"


def test_waiting_for_the_server_is_told_and_ends_well(store: Path, tmp_path: Path) -> None:
    path = copied(store, tmp_path)
    with (
        quick_server(path) as first,
        dashboard_process(tmp_path, first.address, "--retry-for-s", str(TIMEOUT_S)) as dashboard,
        get(dashboard.address, f"/export?columns=all&download_id={ID}") as answer,
        ThreadPoolExecutor(1) as reader,
    ):
        start = answer.read(1_000)
        first.stop(signal.SIGKILL)
        rest = reader.submit(answer.read)
        give_up_s = time.monotonic() + TIMEOUT_S
        while (waits := told(dashboard.address))["reason"] is None:
            assert time.monotonic() < give_up_s
        assert waits["state"] == "running"
        assert waits["reason"].startswith("waiting for the server: ")
        with quick_server(path, "--listen", first.address):
            body = start + rest.result()
        whole = told_at_the_end(dashboard.address)
        assert (whole["state"], whole["reason"]) == ("whole", None)
        assert (whole["rows"], whole["bytes"]) == (ROWS, len(body))


@pytest.mark.parametrize(
    "path", ["/api/download", "/api/download?download_id=short", "/export?download_id=a/b"]
)
def test_an_id_that_does_not_fit_is_refused_by_name(host: str, path: str) -> None:
    with get(host, path) as answer:
        assert answer.status == 400
        assert [error["parameter"] for error in json.load(answer)["errors"]] == ["download_id"]
