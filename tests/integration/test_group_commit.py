"""Many batches in one commit: each stored, numbered and refused as if it had come alone."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from argus_grpc.errors import StoreUnavailable
from argus_grpc.store import Appended, CommitTiming, DuckDbStore
from argus_grpc.store.appender import Appender, OnCommitted
from argus_grpc.store.batch_ids import BatchIds
from argus_grpc.store.database import Database

pytestmark = pytest.mark.duckdb

MIB = 1024 * 1024
AT_ONCE = CommitTiming(interval_s=0)


def batch(thread_id: int, rows: int = 3, **columns: pa.Array) -> pa.RecordBatch:
    given = {
        "timestamp": pa.array(range(rows), pa.int64()),
        "event_type": pa.array([1] * rows, pa.int32()),
        "source": pa.array(["s"] * rows),
        "thread_id": pa.array([thread_id] * rows, pa.int64()),
        **columns,
    }
    return pa.RecordBatch.from_arrays(list(given.values()), names=list(given))


NOT_UTF8 = pa.array([b"\xff"]).view(pa.string())
"""What the checks of ingest let no one bring, and DuckDB itself refuses."""


def appender_of(database: Database, on_committed: OnCommitted, timing: CommitTiming = AT_ONCE) -> Appender:
    return Appender(database, lambda _: None, BatchIds(database, lifetime_s=3600), 0, on_committed, timing)


class Gate:
    """An appender whose first commit ends only when all the batches of `append_all` but its first wait."""

    def __init__(self, path: Path) -> None:
        DuckDbStore(path, 512 * MIB).close()
        self.database = Database(lambda: duckdb.connect(path))
        self.commits: list[range] = []
        self._may_end = threading.Event()
        self._appender = appender_of(self.database, self._on_committed)

    def sql(self, query: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        return self.database.read(lambda cursor: cursor.execute(query, parameters).fetchall())

    def append_all(self, batches: list[pa.RecordBatch]) -> "list[Future[Appended]]":
        """What became of each batch: of the first alone, then of all others together."""
        first, *others = batches
        with ThreadPoolExecutor(len(batches)) as threads:
            appends = [threads.submit(self._appender.append, first)]
            wait_until(lambda: bool(self.commits))
            appends += [threads.submit(self._appender.append, events) for events in others]
            wait_until(lambda: len(self._appender._waiting) == len(others))
            self._may_end.set()
        return appends

    def _on_committed(self, events: pa.RecordBatch, sequences: range) -> None:
        assert events["sequence"].to_pylist() == list(sequences)
        self.commits.append(sequences)
        assert self._may_end.wait(timeout=60)

    def close(self) -> None:
        self._may_end.set()
        self._appender.close()
        self.database.close()


def wait_until(condition: Callable[[], bool]) -> None:
    end_s = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end_s


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    gate = Gate(tmp_path / "events.duckdb")
    yield gate
    gate.close()


def test_batches_that_wait_are_committed_together(gate: Gate) -> None:
    batches = [batch(i, rows=1 + i % 5) for i in range(1, 42)]
    sequences = [append.result().sequences for append in gate.append_all(batches)]
    assert len(gate.commits) == 2
    total = sum(events.num_rows for events in batches)
    assert sorted(number for numbers in sequences for number in numbers) == list(range(1, total + 1))
    stored = gate.sql("SELECT thread_id, sequence FROM events")
    assert sorted(stored) == [(i, number) for i, numbers in enumerate(sequences, 1) for number in numbers]


def test_batches_with_different_columns_go_together(gate: Gate) -> None:
    batches = [
        batch(1),
        batch(2, gc_name=pa.array(["G1New", None, ""])),
        batch(3, cpu_jvm_user=pa.array([0.5, None, 0.0])),
        batch(4),
    ]
    assert [len(append.result().sequences) for append in gate.append_all(batches)] == [3] * 4
    query = "SELECT gc_name, cpu_jvm_user FROM events WHERE thread_id = ? ORDER BY sequence"
    assert gate.sql(query, [2]) == [("G1New", None), (None, None), ("", None)]
    assert gate.sql(query, [3]) == [(None, 0.5), (None, None), (None, 0.0)]
    assert gate.sql(query, [4]) == [(None, None)] * 3


def test_one_that_fails_does_not_fail_the_others(gate: Gate) -> None:
    batches = [batch(i) for i in range(1, 42)]
    batches[20] = batch(21, rows=1, stack_trace=NOT_UTF8)
    appends = gate.append_all(batches)
    assert isinstance(appends.pop(20).exception(), duckdb.Error)
    sequences = [append.result().sequences for append in appends]
    assert sorted(number for numbers in sequences for number in numbers) == list(range(1, 121))
    assert gate.sql("SELECT count(*), count(DISTINCT sequence) FROM events") == [(120, 120)]


def test_a_commit_is_bounded(tmp_path: Path) -> None:
    DuckDbStore(tmp_path / "events.duckdb", 512 * MIB).close()
    commits: list[int] = []
    database = Database(lambda: duckdb.connect(tmp_path / "events.duckdb"))
    timing = CommitTiming(interval_s=60, size_bytes=3 * batch(1).get_total_buffer_size())
    # Many more than three wait at a time, or the last of them would wait for the interval to end.
    appender = appender_of(database, lambda _, sequences: commits.append(len(sequences)), timing)
    with ThreadPoolExecutor(30) as threads:
        appends = [threads.submit(appender.append, batch(i)) for i in range(1, 60)]
        # One that is larger than the bound alone has its turn too.
        appends.append(threads.submit(appender.append, batch(60, rows=1_000)))
        wait_until(lambda: sum(commits) == 59 * 3 + 1_000 or len(appender._waiting) < 3)
        appender.close()
    database.close()
    assert all(append.done() for append in appends)
    assert set(commits) <= {3, 6, 9, 1_000}


def test_nothing_is_taken_after_close(tmp_path: Path) -> None:
    store = DuckDbStore(tmp_path / "events.duckdb", 512 * MIB)
    assert store.append(batch(1)).sequences == range(1, 4)
    store.close()
    with pytest.raises(StoreUnavailable):
        store.append(batch(2))
