"""Whatever moment a file's writing is cut off at, --resume ends it as if nothing had happened."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from argus_client import ExportClient, checkpointing, compression
from argus_client.formats import RenderOptions, groups
from argus_client.stream import ResumePoint
from argus_client.verification import verify_file
from tests.conftest import RunningServer, start_server
from tests.crashes import Crash, Disk
from tests.synthetic import make_store

NAMES = ["a.csv", "a.json", "a.jsonl.gz", "a.csv.zst", "a.parquet", "a.arrow"]


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("events")
    make_store(folder / "events.duckdb", rows=500)
    yield from start_server(folder)


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Checkpoints at every batch, and blocks and groups that are smaller than some batches."""
    monkeypatch.setattr(checkpointing, "CHECKPOINT_INTERVAL_S", 0.0)
    monkeypatch.setattr(compression, "BLOCK_BYTES", 20_000)
    monkeypatch.setattr(groups, "MAX_GROUP_ROWS", 70)


@pytest.fixture(scope="module")
def start(events: RunningServer) -> ResumePoint:
    """The beginning of one export: all that begin there have the same snapshot, name and time."""
    with ExportClient(events.address) as client, client.export(columns="all") as export:
        return ResumePoint(export.header.resume_token, 0)


def write(
    server: RunningServer, path: Path, start: ResumePoint, *, resume: bool = False, batch_bytes: int = 30_000
) -> list[str]:
    """Returns what was said."""
    notices: list[str] = []
    # Guarded cells and metadata, as far as the format has them.
    options = RenderOptions(excel=True) if ".csv" in path.name else RenderOptions(metadata=True)
    with ExportClient(server.address, retry_for_s=0) as client:
        export = client.export(columns="all", max_batch_bytes=batch_bytes, resume_from=start)
        export.write(path, options=options, resume=resume, on_notice=notices.append)
    return notices


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("name", NAMES)
def test_killed_between_any_two_steps_it_ends_as_if_nothing_had_happened(
    events: RunningServer, start: ResumePoint, disk: Disk, tmp_path: Path, name: str
) -> None:
    (tmp_path / "whole").mkdir()
    write(events, tmp_path / "whole" / name, start)
    whole = (tmp_path / "whole" / name).read_bytes()

    for step in count(1):
        folder = tmp_path / str(step)
        folder.mkdir()
        path = folder / name
        disk.changes, disk.crash_at = 0, step
        try:
            write(events, path, start)
        except Crash:
            pass
        else:
            break
        disk.crash_at = None
        if path.exists():
            assert path.read_bytes() == whole
        if step % 2 == NAMES.index(name) % 2:
            disk.lose_cache(path.with_name(f"{name}.part"))
        # Other batches than before: nothing may depend on where they begin.
        write(events, path, start, resume=True, batch_bytes=16 * 1024)
        assert path.read_bytes() == whole, step
        assert names(folder) == [name, f"{name}.manifest.json"], step
        assert verify_file(path).is_whole
    assert step > 30
