"""The client killed with SIGKILL, again and again, ends with the file of one that was not."""

import json
import random
import signal
import time
from collections.abc import Callable, Iterator
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import pytest

from argus_client import ExportClient
from argus_client.formats import groups
from argus_client.stream import ResumePoint
from tests.client_process import start_client
from tests.conftest import RunningServer, start_server
from tests.synthetic import make_store

KILLS = 5
"""Of each format, at least: of six, thirty."""
GROUP_ROWS = 5_000


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("events")
    make_store(folder / "events.duckdb", rows=120_000)
    yield from start_server(folder)


def start(server: RunningServer, path: Path, *flags: str) -> ForkServerProcess:
    # Many checkpoints, and many groups, in the little time that it takes.
    return start_client(
        "export",
        "--server",
        server.address,
        "-o",
        str(path),
        *flags,
        checkpoint_interval_s=0.05,
        max_group_rows=GROUP_ROWS,
    )


def kill_when(process: ForkServerProcess, condition: Callable[[], bool]) -> bool:
    """Whether it was killed before its end."""
    deadline_s = time.monotonic() + 60
    while not condition() and process.is_alive():
        assert time.monotonic() < deadline_s
        time.sleep(0.001)
    process.kill()
    process.join()
    return process.exitcode == -signal.SIGKILL


def size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return -1


@pytest.mark.parametrize("name", ["a.csv", "a.json", "a.jsonl.gz", "a.csv.zst", "a.parquet", "a.arrow"])
def test_killed_at_random_moments_it_ends_byte_identical(
    events: RunningServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(groups, "MAX_GROUP_ROWS", GROUP_ROWS)
    whole = tmp_path / "whole" / name
    whole.parent.mkdir()
    with ExportClient(events.address) as client:
        client.export().write(whole)
    whole_bytes = whole.stat().st_size

    path = tmp_path / name
    part, checkpoint = path.with_name(f"{name}.part"), path.with_name(f"{name}.part.checkpoint")
    dice = random.Random(name)
    kills = 0
    token = None
    for number in range(KILLS + 1):
        there = max(0, size_of(part))
        size = there + dice.uniform(0.05, 0.3) * (whole_bytes - there)

        def has_come_so_far(number: int = number, size: float = size) -> bool:
            if number == 0:  # before the first batch
                return checkpoint.exists()
            if number == KILLS:  # about the finish, or just after it
                return size_of(part) >= whole_bytes or path.exists()
            return size_of(part) >= size

        kills += kill_when(start(events, path, *["--resume"] * (number > 0)), has_come_so_far)
        if checkpoint.exists():
            saying = json.loads(checkpoint.read_bytes())
            token = token or saying["resume_point"]["token"]
            assert saying["durable_bytes"] <= size_of(part) or path.exists()
    assert kills >= KILLS
    process = start(events, path, "--resume")
    process.join()
    assert process.exitcode == 0

    # All but CSV say when they were made; so the uncut file is made from the same beginning.
    assert token is not None
    with ExportClient(events.address) as client:
        client.export(resume_from=ResumePoint(token, 0)).write(whole, overwrite=True)
    assert path.read_bytes() == whole.read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == [name, f"{name}.manifest.json", "whole"]
