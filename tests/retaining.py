"""Stores whose clock a test sets, and what a store or a server should hold."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from argus_grpc.store import DuckDbStore, RetentionLimits

MIB = 1024 * 1024


@dataclass
class Clock:
    now_s: float = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now_s


def batch(rows: int, first_timestamp_ns: int = 0, text: str = "") -> pa.RecordBatch:
    """Events with rising timestamps, and a thread id that is the timestamp and one."""
    timestamps = np.arange(first_timestamp_ns, first_timestamp_ns + rows)
    return pa.record_batch(
        {
            "timestamp": pa.array(timestamps),
            "event_type": pa.array(np.ones(rows, np.int32)),
            "source": pa.array(["s"] * rows),
            "thread_id": pa.array(timestamps + 1),
            "thread_name": pa.array([text] * rows),
        }
    )


def random_batch(rows: int, text_bytes: int, seed: int) -> pa.RecordBatch:
    """Events with texts that no compression makes small."""
    letters = np.random.default_rng(seed).integers(33, 127, (rows, text_bytes), dtype=np.uint8)
    offsets = np.arange(0, (rows + 1) * text_bytes, text_bytes, dtype=np.int32)
    texts = pa.StringArray.from_buffers(rows, pa.py_buffer(offsets), pa.py_buffer(letters.tobytes()))
    events = batch(rows)
    return events.set_column(events.schema.get_field_index("thread_name"), "thread_name", texts)


@contextmanager
def store_of(path: Path, clock: Clock | None = None, **limits: Any) -> Iterator[DuckDbStore]:
    """A store that removes something only when its retention is told to look (but see max_bytes)."""
    store = DuckDbStore(path, 512 * MIB, limits=RetentionLimits(**limits), clock=clock or Clock())
    try:
        yield store
    finally:
        store.close()


def files_bytes(folder: Path) -> int:
    """How large the files are that the database has there, or has had a moment ago."""
    sizes = []
    for file in folder.iterdir():
        with suppress(FileNotFoundError):
            sizes.append(file.stat().st_size)
    return sum(sizes)


def look(store: DuckDbStore, times: int = 1) -> None:
    assert store._retention is not None
    for _ in range(times):
        store._retention.look()


def rows_of(store: DuckDbStore, query: str) -> list[tuple[Any, ...]]:
    return store._database.read(lambda cursor: cursor.execute(query).fetchall())


def sequences_of(store: DuckDbStore) -> list[int]:
    return [sequence for (sequence,) in rows_of(store, "SELECT sequence FROM events ORDER BY sequence")]
