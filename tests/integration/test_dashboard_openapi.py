"""/openapi.json is true: Schemathesis finds nothing that is answered otherwise than described."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from argus_dashboard.openapi import description
from tests.conftest import RunningServer, start_server
from tests.dashboard import dashboard_process, get_json, needs_curl
from tests.processes import ENVIRONMENT
from tests.synthetic import make_store


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("server")
    make_store(folder / "events.duckdb", 300)
    yield from start_server(folder)


@pytest.fixture(scope="module")
def url(server: RunningServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with dashboard_process(tmp_path_factory.mktemp("dashboard"), server.address) as dashboard:
        yield dashboard.url


def test_schemathesis_finds_nothing(url: str, tmp_path: Path) -> None:
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "run", f"{url}/openapi.json"),
        # It has no end that a request could wait for.
        *("--exclude-path", "/api/follow"),
        # The description cannot say which values exclude each other: from and last, from after to.
        *("--exclude-checks", "positive_data_acceptance"),
        *("--max-examples", "5", "--seed", "1", "--no-color"),
    ]
    done = subprocess.run(
        command, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    operations = sum(len(item) for item in description()["paths"].values())
    assert f"Tested: {operations - 1}" in done.stdout


@needs_curl
def test_all_parameters_that_are_taken_are_described_and_no_others(url: str) -> None:
    for path, item in get_json(f"{url}/openapi.json")["paths"].items():
        if "get" not in item:
            continue
        described = {one["name"] for one in item["get"]["parameters"] if one["in"] == "query"}
        errors = get_json(f"{url}{path}?%00=", status=400)["errors"]
        [unknown] = [error for error in errors if error["parameter"] == "\0"]
        taken = unknown["allowed"].removeprefix("one of ").removeprefix("no parameters")
        assert described == set(filter(None, taken.split(", "))), path
