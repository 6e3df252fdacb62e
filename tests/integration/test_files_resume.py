"""--resume: what can be gone on with, what is refused and how it is said."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from argus_client import EventQuery, ExportClient, OutputError, checkpointing
from argus_client.cli import commands
from argus_client.formats import RenderOptions
from argus_grpc.v1.event_pb2 import Event, EventType
from tests.conftest import RunningServer, start_server
from tests.synthetic import make_store

ROWS = 3_000
START = EventType.EVENT_TYPE_VIRTUAL_THREAD_START


@pytest.fixture(autouse=True)
def _checkpoint_at_every_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpointing, "CHECKPOINT_INTERVAL_S", 0.0)


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("events")
    make_store(folder / "events.duckdb", rows=ROWS)
    yield from start_server(folder)


def run(server: RunningServer, *args: object) -> Result:
    line = ["export", "--server", server.address, "--retry-for", "0", *args]
    return CliRunner().invoke(commands, [*map(str, line)])


def interrupt(server: RunningServer, path: Path, query: EventQuery | None = None, **asked: Any) -> None:
    """An export that is interrupted after some batches."""

    def after(rows: int) -> None:
        if rows > 1_000:
            raise KeyboardInterrupt

    with ExportClient(server.address) as client, pytest.raises(KeyboardInterrupt) as interruption:
        client.export(query, max_batch_bytes=16 * 1024, **asked).write(path, on_progress=after)
    assert interruption.value.__notes__ == [
        f"What came is kept in {path}.part; the same command with --resume goes on from there."
    ]


def test_an_interrupted_export_goes_on_and_says_from_where(events: RunningServer, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    interrupt(events, path)
    result = run(events, "-o", path, "--resume")
    assert result.exit_code == 0, result.stderr
    said = result.stderr.splitlines()
    assert said[0].startswith(f"going on with {path} after 1,")
    assert said[1].startswith(f"{ROWS:,} events, ")
    assert path.read_text() == run(events).stdout


def _state_of(path: Path) -> tuple[int, int, int, bytes]:
    # All but the time of the last reading, which whoever looks whether it is whole has to change.
    stat = path.stat()
    return stat.st_ino, stat.st_mtime_ns, stat.st_ctime_ns, path.read_bytes()


def test_a_file_that_is_whole_is_left_as_it_is(events: RunningServer, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    assert run(events, "-o", path, "--limit", 7, "--last", "90d").exit_code == 0
    assert run(events, "-o", tmp_path / "b.csv", "--limit", 7).exit_code == 3
    for name, flags, code in (("a.csv", ["--last", "90d"], 0), ("b.csv", [], 3)):
        before = _state_of(tmp_path / name)
        result = run(events, "-o", tmp_path / name, "--limit", 7, *flags, "--resume")
        assert (result.exit_code, result.stderr.splitlines()[0]) == (
            code,
            f"{tmp_path / name} is whole already",
        )
        assert _state_of(tmp_path / name) == before
    result = run(events, "-o", path, "--limit", 8, "--resume")
    assert result.exit_code == 2
    assert "--limit: 8, but the export that is whole in" in result.stderr
    with path.open("ab") as file:
        file.write(b"x")
    result = run(events, "-o", path, "--limit", 7, "--last", "90d", "--resume")
    assert result.exit_code == 1
    assert "a.csv exists already, and is not whole: it is 1 byte too long" in result.stderr
    assert run(events, "-o", path, "--limit", 7, "--resume", "--overwrite").exit_code == 3
    assert not list(tmp_path.glob("*.part*"))


def test_with_nothing_to_resume_it_begins_and_says_so(events: RunningServer, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    result = run(events, "-o", path, "--resume")
    assert result.exit_code == 0
    assert result.stderr.startswith(
        f"{path} has no unfinished export to resume; it starts from the beginning\n"
    )
    (tmp_path / "b.csv").touch()
    result = run(events, "-o", tmp_path / "b.csv", "--resume")
    assert (result.exit_code, (tmp_path / "b.csv").read_bytes()) == (1, b"")
    assert "b.csv exists already" in result.stderr


def test_a_plain_run_says_what_it_throws_away(events: RunningServer, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    interrupt(events, path)
    result = run(events, "-o", path, "--type", "END")
    assert result.stderr.startswith(f"an unfinished export of {path} (1,")
    assert "resume" not in result.stderr
    path.unlink()
    interrupt(events, path)
    result = run(events, "-o", path)
    assert result.exit_code == 0
    assert "events) is thrown away; --resume would have gone on with it" in result.stderr
    assert not list(tmp_path.glob("*.part*"))


def test_what_differs_is_named_with_both_values(events: RunningServer, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    interrupt(events, path, EventQuery(types=["END", "START"], thread_name_glob="*"), limit=2_000)
    changed = ["--type", "END", "--thread-name-regex", ".", "--source", "x", "--columns", "timestamp,source"]
    changed += ["--order", "arrival", "--format", "json", "--compress", "gzip", "--time-precision", "ms"]
    result = run(events, "-o", path, "--resume", *changed, "--from", "2024-01-01")
    assert result.exit_code == 2
    its = "but the interrupted export has"
    assert sorted(result.stderr.removeprefix("Error: ").splitlines()) == sorted(
        [
            f"--type: VIRTUAL_THREAD_END, {its} VIRTUAL_THREAD_END,VIRTUAL_THREAD_START",
            f"--thread-name-regex: ., {its} none given",
            f"--thread-name: none given, {its} *",
            f"--source: x, {its} none given",
            f"--from: 2024-01-01T00:00:00Z, {its} none given",
            f"--columns: timestamp,source, {its} none given",
            f"--order: arrival, {its} time",
            f"--limit: none given, {its} 2000",
            f"--format: json, {its} csv",
            f"--compress: gzip, {its} none",
            f"--time-precision: ms, {its} auto",
            "Without --resume a new export begins, and what is there is thrown away.",
        ]
    )
    result = run(
        events, "-o", path, "--resume", "--type", "END,START", "--thread-name", "*", "--limit", 2_000
    )
    assert result.exit_code == 3, result.stderr


def test_a_window_up_to_now_stays_what_it_was(
    server: RunningServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_ns = 1_704_067_200_000_000_000
    server.ingest([Event(timestamp=now_ns - n, event_type=START, source="s" * 100) for n in range(4_000)])
    path, flags = tmp_path / "a.csv", ["--last", "2us", "--columns", "timestamp,source"]
    real_write = checkpointing.CheckpointedWriter.pause

    def interrupted(*args: Any) -> None:
        real_write(*args)
        raise KeyboardInterrupt

    monkeypatch.setattr("time.time_ns", lambda: now_ns)
    with monkeypatch.context() as patch:
        patch.setattr(checkpointing.CheckpointedWriter, "pause", interrupted)
        assert run(server, "-o", path, *flags).exit_code == 130
    monkeypatch.setattr("time.time_ns", lambda: now_ns + 10**18)
    result = run(server, "-o", path, "--resume", "--last", "3us", "--columns", "timestamp,source")
    assert "--last: 3us, but the interrupted export has 2us" in result.stderr
    assert run(server, "-o", path, *flags, "--resume").exit_code == 0
    assert len(path.read_text().splitlines()) == 1 + 2_001


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda part: part.unlink(), "was cut: it has 0 bytes of the "),
        (lambda part: os.truncate(part, 1_000), "was cut: it has 1,000 bytes of the "),
        (lambda part: part.write_bytes(part.read_bytes().replace(b"0", b"1", 1)), "was changed: the SHA-256"),
        (lambda part: part.with_name("a.csv.part.checkpoint").write_text("{"), "checkpoint is damaged"),
    ],
)
def test_a_damaged_part_is_refused(events: RunningServer, tmp_path: Path, damage: Any, said: str) -> None:
    path = tmp_path / "a.csv"
    interrupt(events, path)
    damage(tmp_path / "a.csv.part")
    result = run(events, "-o", path, "--resume")
    assert result.exit_code == 1
    assert said in result.stderr
    assert result.stderr.endswith("start anew without --resume\n")
    assert run(events, "-o", path).exit_code == 0


def test_a_token_that_is_not_taken_any_more_is_said(events: RunningServer, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    interrupt(events, path)
    for other in start_server(tmp_path / "other"):
        result = run(other, "-o", path, "--resume")
        assert result.exit_code == 1
        last_line = result.stderr.splitlines()[-1]
        assert last_line == f"{path}.part cannot be gone on with; without --resume a new export begins."
    # The right server still can.
    assert run(events, "-o", path, "--resume").exit_code == 0


def test_removed_rows_are_said(server: RunningServer, tmp_path: Path) -> None:
    server.ingest(
        [Event(timestamp=n, event_type=START, source="s", thread_name="x" * 100) for n in range(3_000)]
    )
    path = tmp_path / "a.csv"
    interrupt(server, path)
    server.sql("DELETE FROM events WHERE sequence > 2900")
    result = run(server, "-o", path, "--resume")
    assert result.exit_code == 1
    assert "removed" in result.stderr
    assert "cannot be gone on with; without --resume a new export begins." in result.stderr


def test_a_limit_is_the_whole_files(events: RunningServer, tmp_path: Path) -> None:
    """Also where all of it has come and only the end is missing."""
    path = tmp_path / "a.csv"
    with ExportClient(events.address) as client:

        def stop(rows: int) -> None:
            if rows == 1_500:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            client.export(limit=1_500, max_batch_bytes=16 * 1024).write(path, on_progress=stop)
        written = client.export(limit=1_500).write(path, resume=True)
    assert (written.events, written.summary.rows_remaining) == (1_500, ROWS - 1_500)
    assert path.read_text() == run(events, "--limit", 1_500).stdout


def test_the_cells_that_were_guarded_are_counted_on(server: RunningServer, tmp_path: Path) -> None:
    server.ingest(
        [
            Event(timestamp=n, event_type=START, source="s", thread_name="=" + "x" * 50 if n % 3 else "y")
            for n in range(3_000)
        ]
    )
    path, excel = tmp_path / "a.csv", RenderOptions(excel=True)

    def stop(rows: int) -> None:
        if rows > 1_000:
            raise KeyboardInterrupt

    with ExportClient(server.address) as client, pytest.raises(KeyboardInterrupt):
        client.export(max_batch_bytes=16 * 1024).write(path, options=excel, on_progress=stop)
    assert "before 2,000 cells" in run(server, "-o", path, "--excel", "--resume").stderr
    assert json.loads(path.with_name("a.csv.manifest.json").read_bytes())["guardedCells"] == 2_000


def test_only_a_file_can_be_gone_on_with(events: RunningServer) -> None:
    result = run(events, "--resume")
    assert result.exit_code == 2
    assert "--resume needs a file to go on with: --output FILE" in result.stderr


def test_a_file_of_another_that_came_meanwhile_is_not_replaced(events: RunningServer, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    interrupt(events, path)
    path.write_text("another's")
    result = run(events, "-o", path, "--resume")
    assert (result.exit_code, path.read_text()) == (1, "another's")
    assert run(events, "-o", path, "--resume", "--overwrite").exit_code == 0
    with pytest.raises(OutputError, match="exists already"), ExportClient(events.address) as client:
        client.export().write(path)
