"""Batches from many threads → the events table, all that wait in one commit."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field

import duckdb
import numpy as np
import pyarrow as pa

from argus_grpc.batches import joined
from argus_grpc.errors import StoreUnavailable

MAX_HELD_BYTES = 32 * 1024 * 1024
"""About how much the batches may have that wait or are being committed; who brings more waits."""

_ROW_GROUP_EVENTS = 122_880
"""What DuckDB stores together."""

OnCommitted = Callable[[pa.RecordBatch, range], None]


@dataclass(frozen=True, eq=False)
class _Waiting:
    """A batch, and the answer to who brought it."""

    events: pa.RecordBatch
    sequences: "Future[range]" = field(default_factory=Future)

    @property
    def size_bytes(self) -> int:
        return int(self.events.get_total_buffer_size())


class Appender:
    """Commits batches of events in the order of their arrival and gives them sequences.

    While one commit runs the batches that come wait, and the next commit takes them all: a commit of
    many costs little more than a commit of one. It runs in a thread of its own, since DuckDB's
    allocators keep memory for every thread that writes.

    connection: its own, which it closes.
    last_sequence: the greatest sequence that the table has; 0: none.
    on_committed: called in the appender's thread for each commit, in order, with all its events (the
        columns that any of them has set, and sequence) and their sequences, before anyone is told. It must
        not raise.
    """

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, last_sequence: int, on_committed: OnCommitted
    ) -> None:
        self._connection = connection
        self._last_sequence = last_sequence
        self._on_committed = on_committed
        self._waiting: list[_Waiting] = []
        self._held_bytes = 0
        self._is_closed = False
        lock = threading.Lock()
        self._has_work = threading.Condition(lock)
        self._has_room = threading.Condition(lock)
        self._thread = threading.Thread(target=self._run, name="appender", daemon=True)
        self._thread.start()

    def append(self, events: pa.RecordBatch) -> range:
        """Stores events, at least one, whole or not at all; returns their sequences once committed.

        Raises StoreUnavailable after close, and what DuckDB raises for these events.
        """
        waiting = _Waiting(events)
        size_bytes = waiting.size_bytes
        with self._has_room:
            self._has_room.wait_for(
                lambda: (
                    self._is_closed or not self._held_bytes or self._held_bytes + size_bytes <= MAX_HELD_BYTES
                )
            )
            if self._is_closed:
                raise StoreUnavailable("the database is closing")
            self._waiting.append(waiting)
            self._held_bytes += size_bytes
            self._has_work.notify()
        return waiting.sequences.result()

    def close(self) -> None:
        """Commits what waits, and ends."""
        with self._has_work:
            self._is_closed = True
            self._has_work.notify()
            self._has_room.notify_all()
        self._thread.join()
        self._connection.close()

    def _run(self) -> None:
        while group := self._take_all():
            self._commit(group)
            with self._has_room:
                self._held_bytes -= sum(waiting.size_bytes for waiting in group)
                self._has_room.notify_all()

    def _take_all(self) -> list[_Waiting]:
        """What waits, once something does; nothing after close."""
        with self._has_work:
            self._has_work.wait_for(lambda: self._waiting or self._is_closed)
            group, self._waiting = self._waiting, []
        return group

    def _commit(self, group: list[_Waiting]) -> None:
        first = self._last_sequence + 1
        try:
            events = joined([waiting.events for waiting in group])
            sequences = range(first, first + events.num_rows)
            events = events.add_column(0, "sequence", pa.array(np.arange(first, sequences.stop)))
            self._insert(events)
        except Exception as error:
            if len(group) == 1:
                group[0].sequences.set_exception(error)
                return
            # Which of them it is about is found out by committing each alone.
            for waiting in group:
                self._commit([waiting])
            return
        self._last_sequence = sequences[-1]
        self._on_committed(events, sequences)
        for waiting in group:
            end = first + waiting.events.num_rows
            waiting.sequences.set_result(range(first, end))
            first = end

    def _insert(self, events: pa.RecordBatch) -> None:
        # `batch` is what the SQL below reads. Each of DuckDB's threads takes a record batch at a time, so
        # these are whole row groups: those that are not full a checkpoint makes anew.
        starts = range(0, events.num_rows, _ROW_GROUP_EVENTS)
        batch = pa.Table.from_batches([events.slice(start, _ROW_GROUP_EVENTS) for start in starts])
        self._connection.register("batch", batch)
        try:
            self._connection.execute("INSERT INTO events BY NAME SELECT * FROM batch")
        finally:
            self._connection.unregister("batch")
