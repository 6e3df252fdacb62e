"""Keeps the newest events only, for a database in memory."""

from collections import deque

import duckdb
import pyarrow as pa
import structlog

from argus_grpc.store.database import Database
from argus_grpc.store.removals import Removals, remove_through
from argus_grpc.store.schema import ROW_GROUP_EVENTS

_log = structlog.get_logger()

_LEAST_EVENT_BYTES = 128
"""What an event is reckoned to take at least, compressed."""
_NEW_EVENT_BYTES = 320
"""What DuckDB takes for an event beside its values until a checkpoint has compressed it: mostly for columns
that are not set."""
_PARTS = 256
"""In how many parts what is kept is reckoned: where events are too large, the oldest parts go."""


class Newest:
    """Removes the oldest events in the transaction that commits newer ones, so that max_events are kept,
    or as many of the newest as fit in a quarter of memory_bytes.

    DuckDB compresses events, and frees the memory of removed ones once none is left of the hundred thousand
    that it stores together, in a checkpoint without any other transaction. That is seen to here every so
    often; and where such a group would take too long to empty, since events are large, what is kept is
    written anew.

    To be used by the thread that commits.
    """

    def __init__(self, max_events: int, memory_bytes: int, database: Database, removals: Removals) -> None:
        self._max_events = max_events
        self._max_bytes = memory_bytes // 4
        self._max_new_bytes = memory_bytes // 8
        self._database = database
        self._removals = removals
        # The last sequence and the bytes of each part.
        self._kept: deque[tuple[int, int]] = deque()
        self._kept_bytes = 0
        self._removing_through = 0
        self._new_bytes = 0
        self._freed_through = 0
        self._dead_bytes = self._dead_bytes_at_freeing = 0

    def before_commit(self, cursor: duckdb.DuckDBPyConnection, events: pa.RecordBatch) -> None:
        """Removes, in the cursor's transaction, what the events that it brings put out."""
        through = int(events["sequence"][-1].as_py()) - self._max_events
        excess_bytes = self._kept_bytes + _size_bytes(events) - self._max_bytes
        for last, size_bytes in self._kept:
            if excess_bytes <= 0:
                break
            excess_bytes -= size_bytes
            through = max(through, last)
        self._removing_through = through
        if through > self._removals.through:
            self._removals.begin(through)
            remove_through(cursor, through)

    def committed(self, events: pa.RecordBatch) -> None:
        """Reckons with what was committed, and frees the memory of what was removed when it is enough."""
        self._removals.end(self._removing_through)
        last, size_bytes = int(events["sequence"][-1].as_py()), _size_bytes(events)
        self._kept_bytes += size_bytes
        self._new_bytes += size_bytes + _NEW_EVENT_BYTES * int(events.num_rows)
        if self._kept and self._kept[-1][1] + size_bytes <= self._max_bytes // _PARTS:
            size_bytes += self._kept.pop()[1]
        self._kept.append((last, size_bytes))
        while self._kept[0][0] <= self._removals.through:
            removed_bytes = self._kept.popleft()[1]
            self._kept_bytes -= removed_bytes
            self._dead_bytes += removed_bytes
        try:
            if self._dead_bytes > self._max_bytes:
                self._write_anew()
            elif self._new_bytes > self._max_new_bytes:
                self._free()
        except duckdb.Error:
            _log.exception("memory_not_freed")

    def _free(self) -> None:
        with self._database.alone(timeout_s=None) as cursor:
            assert cursor is not None
            cursor.execute("FORCE CHECKPOINT")
        self._new_bytes = 0
        if self._removals.through - self._freed_through >= ROW_GROUP_EVENTS:
            # What was dead so many events ago is in groups that are empty by now.
            self._dead_bytes -= self._dead_bytes_at_freeing
            self._dead_bytes_at_freeing = self._dead_bytes
            self._freed_through = self._removals.through

    def _write_anew(self) -> None:
        through, last = self._removals.through, self._kept[-1][0]
        with self._database.alone(timeout_s=None) as cursor:
            assert cursor is not None
            with cursor.sql("SELECT * FROM events").to_arrow_reader() as reader:
                kept = reader.read_all()
            # Removed first, since there is hardly room for both; seen by nobody.
            remove_through(cursor, last)
            cursor.execute("FORCE CHECKPOINT")
            try:
                cursor.register("kept", kept)
                cursor.begin()
                cursor.execute("INSERT INTO events BY NAME SELECT * FROM kept")
                cursor.execute("UPDATE argus_removed SET through = ?", [through])
                cursor.commit()
            except duckdb.Error:
                _log.exception("newest_events_lost", removed_through=last)
                self._removals.begin(last)
                self._removals.end(last)
            cursor.execute("FORCE CHECKPOINT")
        self._new_bytes = self._dead_bytes = self._dead_bytes_at_freeing = 0
        self._freed_through = self._removals.through


def _size_bytes(events: pa.RecordBatch) -> int:
    return max(int(events.nbytes), _LEAST_EVENT_BYTES * int(events.num_rows))
