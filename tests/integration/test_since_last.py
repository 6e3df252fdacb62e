"""--since-last: run again and again, every event comes once, whatever happens between."""

import json
import os
import shutil
import threading
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest
from click.testing import CliRunner, Result

from argus_client import EventQuery, ExportClient, OutputError
from argus_client.cli import commands
from argus_client.since import SinceLast
from argus_client.writing import write_export
from tests.conftest import RunningServer, start_server
from tests.crashes import Crash, Disk

EVENTS = int(os.environ.get("TEST_SINCE_LAST_EVENTS", "200000"))
RUNS = 10


def append(server: RunningServer, rows: int, seed: int = 0) -> None:
    """Events of any time: many are older than those that came before."""
    batch = pa.record_batch(
        {
            "timestamp": np.random.default_rng(seed).integers(0, 10**12, rows),
            "event_type": pa.array(np.arange(rows) % 4 + 1, pa.int32()),
            "source": pa.array(["s"]).take(np.zeros(rows, np.int64)),
        }
    )
    server.server._store.append(batch)


def run(server: RunningServer, state: Path, *args: object) -> Result:
    line = ["export", "--server", server.address, "--since-last", state, "--columns", "sequence", *args]
    return CliRunner().invoke(commands, [*map(str, line)])


def sequences(*files: Path) -> list[int]:
    tables = [pyarrow.csv.read_csv(file, read_options=pyarrow.csv.ReadOptions()) for file in files]
    return sorted(int(row) for table in tables for row in table["sequence"].to_pylist())


def test_runs_during_ingest_have_every_event_once(server: RunningServer, tmp_path: Path) -> None:
    batch_rows = 2_000
    append(server, batch_rows)
    may_go_on = threading.Semaphore(0)

    def ingest() -> None:
        for number in range(1, EVENTS // batch_rows):
            if number % (EVENTS // batch_rows // RUNS) == 0:
                # No faster than the runs, so that each has some of it.
                may_go_on.acquire()
            append(server, batch_rows, seed=number)

    with ExportClient(server.address) as client:
        running = client.export(columns=["sequence"], max_batch_bytes=16 * 1024)
        snapshot = iter(running)
        seen = [next(snapshot)]
        ingesting = threading.Thread(target=ingest)
        ingesting.start()
        files = [tmp_path / f"{number}.csv{['', '.gz'][number % 2]}" for number in range(RUNS + 1)]
        for file in files[:-1]:
            may_go_on.release()
            result = run(server, tmp_path / "state.json", "-o", file)
            assert result.exit_code == 0, result.stderr
        ingesting.join()
        assert run(server, tmp_path / "state.json", "-o", files[-1]).exit_code == 0
        seen += snapshot

    assert sequences(*files) == list(range(1, EVENTS + 1))
    assert sum(bool(sequences(file)) for file in files) > RUNS // 2
    exported = pa.Table.from_batches(seen)["sequence"].to_pylist()
    assert sorted(exported) == list(range(1, running.header.watermark + 1))
    assert running.header.watermark < EVENTS


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    yield from start_server(tmp_path_factory.mktemp("small"))


@pytest.mark.parametrize("then", ["resumes", "goes on with another file", "and the file was taken"])
def test_killed_between_any_two_steps_none_is_missed_and_none_repeated(
    small: RunningServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, then: str
) -> None:
    disk = Disk(monkeypatch)
    state = tmp_path / "state.json"
    assert run(small, state, "-o", tmp_path / "first.csv").exit_code == 0
    done = small.server._store.watermark
    files: list[Path] = []

    for step in count(1):
        append(small, 5)
        folder = tmp_path / str(step)
        folder.mkdir()
        disk.changes, disk.crash_at = 0, step
        was_killed = False
        try:
            run(small, state, "-o", folder / "a.csv")
        except Crash:
            was_killed = True
        disk.crash_at = None
        if then == "resumes":
            append(small, 5)
            result = run(small, state, "-o", folder / "a.csv", "--resume")
            assert result.exit_code == 0, result.stderr
        if (folder / "a.csv").exists():
            files.append(folder / "a.csv")
        if then == "and the file was taken" and files and files[-1].parent == folder:
            files[-1] = tmp_path / f"taken-{step}.csv"
            shutil.move(folder / "a.csv", files[-1])
            (folder / "a.csv.manifest.json").unlink(missing_ok=True)
        append(small, 5)
        result = run(small, state, "-o", folder / "b.csv")
        assert result.exit_code == 0, result.stderr
        files.append(folder / "b.csv")
        if not was_killed:
            break
    assert step > 20
    assert sequences(*files) == list(range(done + 1, small.server._store.watermark + 1))


def test_without_news_a_file_is_written_and_it_is_said(server: RunningServer, tmp_path: Path) -> None:
    append(server, 3)
    state = tmp_path / "since.state"
    assert sorted(run(server, state).stdout.split()) == ["1", "2", "3", "sequence"]
    result = run(server, state, "-o", tmp_path / "none.csv")
    assert (result.exit_code, (tmp_path / "none.csv").read_text()) == (0, "sequence\n")
    assert result.stderr.startswith("no new events since the last export\n")
    append(server, 1)
    assert run(server, state).stdout == "sequence\n4\n"


def test_the_state_says_what_it_is_for(server: RunningServer, tmp_path: Path) -> None:
    append(server, 3)
    state = tmp_path / "since.state"
    run(server, state, "--type", "END", "-o", tmp_path / "a.csv")
    manifest = json.loads((tmp_path / "a.csv.manifest.json").read_bytes())
    assert json.loads(state.read_bytes()) == {
        "stateVersion": 1,
        "store_id": server.server._store.store_id,
        "watermark": 3,
        "query": {"query.event_types": ["VIRTUAL_THREAD_END"]},
        "last_file": {"path": str(tmp_path / "a.csv"), "export_id": manifest["exportId"], "watermark": 3},
    }


def test_a_failed_run_leaves_the_state_where_it_was(server: RunningServer, tmp_path: Path) -> None:
    append(server, 3)
    state = tmp_path / "since.state"
    (tmp_path / "a.csv").touch()
    assert run(server, state, "-o", tmp_path / "a.csv").exit_code == 1
    with (
        Path("/dev/full").open("wb", buffering=0) as full,
        SinceLast(state) as since,
        ExportClient(server.address) as client,
    ):
        export = client.export(since.narrow(EventQuery()))
        with pytest.raises(OutputError):
            write_export(export, full, ledger=since)
    assert not state.exists()
    assert run(server, state).stdout.count("\n") == 4


def test_another_query_is_refused_by_what_differs(server: RunningServer, tmp_path: Path) -> None:
    append(server, 3)
    state = tmp_path / "since.state"
    run(server, state, "--type", "END,PINNED", "--source", "s")
    result = run(server, state, "--type", "END", "--min-duration", "1ms")
    assert result.exit_code == 2
    assert sorted(result.stderr.splitlines()) == sorted(
        [
            f"Error: --type: VIRTUAL_THREAD_END, but {state} has VIRTUAL_THREAD_END,VIRTUAL_THREAD_PINNED",
            f"--min-duration: 1000000, but {state} has none given",
            f"--source: none given, but {state} has s",
        ]
    )
    # Columns, order and format are another matter.
    same = ["--type", "END,PINNED", "--source", "s", "--order", "arrival", "--format", "jsonl"]
    assert run(server, state, *same).exit_code == 0


def test_another_store_and_an_older_one_are_refused(server: RunningServer, tmp_path: Path) -> None:
    append(server, 3)
    state = tmp_path / "since.state"
    run(server, state)
    saying = json.loads(state.read_bytes())
    state.write_text(json.dumps(saying | {"watermark": 4}))
    result = run(server, state, "-o", tmp_path / "a.csv")
    assert result.exit_code == 2
    assert "events up to 4 were exported, but the server's store ends at 3" in result.stderr
    state.write_text(json.dumps(saying | {"store_id": "another"}))
    result = run(server, state, "-o", tmp_path / "a.csv")
    assert result.exit_code == 2
    assert f"is for the store another, but the server has {saying['store_id']}" in result.stderr
    assert not list(tmp_path.glob("a.csv*"))


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"stateVersion": 2}', "\xff"])
def test_a_damaged_state_is_refused(server: RunningServer, tmp_path: Path, text: str) -> None:
    (tmp_path / "since.state").write_text(text)
    result = run(server, tmp_path / "since.state")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "since.state" in result.stderr


def test_two_runs_at_once_are_refused(server: RunningServer, tmp_path: Path) -> None:
    state = tmp_path / "since.state"
    with SinceLast(state):
        result = run(server, state)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "since.state.lock is in use by another export" in result.stderr
    assert run(server, state).exit_code == 0


@pytest.mark.parametrize("flags", [["--after", "3"], ["--limit", "1"], ["--last", "15m"]])
def test_what_would_miss_or_repeat_events_is_refused(
    server: RunningServer, tmp_path: Path, flags: list[str]
) -> None:
    result = run(server, tmp_path / "since.state", *flags)
    assert result.exit_code == 2
    assert f"--since-last and {flags[0]} cannot be given together" in result.stderr
