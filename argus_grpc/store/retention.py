"""Removes the oldest events, by age and by the size of the files, and gives their space back."""

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import duckdb
import structlog

from argus_grpc.errors import LimitReached, StoreUnavailable
from argus_grpc.store.database import Database
from argus_grpc.store.files import DatabaseFiles
from argus_grpc.store.removals import Removals, remove_through

_log = structlog.get_logger()

_PIECE_EVENTS = 1_000_000
"""How many events one transaction removes: 40 ms of work, and 8 MB in the log."""

_MAX_INTERVAL_S = 600.0
_RETRY_AFTER_S = 1.0
_BOUNDED_INTERVAL_S = 0.25
_COMPACTING_INTERVAL_S = 1.0
_MOVES_AT_ONCE = 4
_FIRST_WAIT_S, _MAX_WAIT_S = 0.1, 5.0
"""For how long, at the first try and at most, those who use the database are held up for it to be alone."""


@dataclass(frozen=True)
class RetentionLimits:
    """What is kept. Unset: for ever, and without a bound.

    max_age_s: seconds since an event came in; it is kept at least so long, and a few hundredths longer, half
        an hour at most.
    max_bytes: what the database's files may have together.
    """

    max_age_s: float | None = None
    max_bytes: int | None = None


class Retention:
    """Looks now and then, in a thread of its own, what is to be removed. `close` ends it.

    What is removed is always a prefix of the sequences, in the same transaction as the note of how far it
    goes. Age counts from when events came in, which is noted here every so often: events that came between
    two looks count as having come at the later one.

    watermark: says the greatest committed sequence.
    clock: says the seconds since the Unix epoch.
    """

    def __init__(
        self,
        limits: RetentionLimits,
        database: Database,
        files: DatabaseFiles,
        removals: Removals,
        watermark: Callable[[], int],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._limits = limits
        self._database = database
        self._files = files
        self._removals = removals
        self._watermark = watermark
        self._clock = clock
        self._marked_sequence, self._marked_s = database.read(_last_mark)
        # What an earlier run removed may have its space still.
        self._has_space_to_free = removals.through > 0
        self._wait_s = _FIRST_WAIT_S
        self._compact_from: int | None = None
        self._compacted_through: int | None = None
        self._lock = threading.Lock()
        self._is_closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="retention", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._is_closing.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._is_closing.wait(self._interval_s()):
            try:
                self.look()
            except (duckdb.Error, StoreUnavailable):
                # Such as a full disk: the next look may do better.
                _log.exception("retention_failed")

    def _interval_s(self) -> float:
        max_age_s = self._limits.max_age_s or math.inf
        interval_s = max(0.1, min(max_age_s / 100, _MAX_INTERVAL_S))
        if self._limits.max_bytes is not None:
            return min(interval_s, _BOUNDED_INTERVAL_S)
        if self._has_space_to_free or self._compact_from is not None:
            return min(interval_s, _COMPACTING_INTERVAL_S)
        return interval_s

    def look(self) -> None:
        """Removes what is to go by now, and frees its space, or as much of that as can be done at once."""
        with self._lock:
            self._mark_arrivals()
            self._remove(self._too_old_through())
            max_bytes = self._limits.max_bytes
            if max_bytes is not None and not self._files.may_grow_to(max_bytes, self._events):
                self._remove(self._too_much_through(max_bytes))
            if self._has_space_to_free:
                self._free_space()
            elif self._compact_from is not None:
                self._compact()

    def make_room(self, coming_bytes: int) -> None:
        """Returns when so many bytes of events may be stored within the bound, which removing may come first
        for. To be called by the thread that stores. Raises LimitReached if there is no room all the same."""
        if self._has_room(coming_bytes):
            return
        self.look()
        if self._has_room(coming_bytes):
            return
        # What is left to gain is the room of the log.
        with self._lock:
            self._free_space()
        if self._limits.max_bytes and not self._has_room(coming_bytes):
            unit = "bytes of database files"
            raise LimitReached("max_database_bytes", self._limits.max_bytes, unit, _RETRY_AFTER_S)

    def _has_room(self, coming_bytes: int = 0) -> bool:
        max_bytes = self._limits.max_bytes
        return max_bytes is None or self._files.may_wait(max_bytes, self._events, coming_bytes)

    @property
    def _events(self) -> int:
        return self._watermark() - self._removals.through

    def _mark_arrivals(self) -> None:
        sequence = self._watermark()
        # Never back, whatever the clock does: events are kept the longer then.
        now_s = max(self._clock(), self._marked_s)
        interval_s = self._limits.max_age_s / 100 if self._limits.max_age_s else _MAX_INTERVAL_S
        if sequence == self._marked_sequence or now_s - self._marked_s < min(interval_s, _MAX_INTERVAL_S):
            return
        with self._database.cursor() as cursor:
            cursor.execute("INSERT INTO argus_arrivals VALUES (?, ?)", [sequence, now_s])
        self._marked_sequence, self._marked_s = sequence, now_s

    def _too_old_through(self) -> int:
        if self._limits.max_age_s is None:
            return 0
        query = "SELECT coalesce(max(sequence), 0) FROM argus_arrivals WHERE arrived_by_s <= ?"
        came_until_s = self._clock() - self._limits.max_age_s
        ((through,),) = self._database.read(lambda cursor: cursor.execute(query, [came_until_s]).fetchall())
        return int(through)

    def _too_much_through(self, max_bytes: int) -> int:
        # The space of what was removed earlier counts as used until it is free.
        if self._has_space_to_free and not self._free_space():
            return 0
        events = self._events
        used_bytes = self._files.used_bytes()
        excess_bytes = self._files.excess_bytes(used_bytes, max_bytes, events)
        return self._removals.through + math.ceil(events * min(1.0, excess_bytes / max(used_bytes, 1)))

    def _remove(self, through: int) -> None:
        """Removes all events up to a sequence."""
        first = self._removals.through + 1
        for piece_through in [*range(first + _PIECE_EVENTS, through, _PIECE_EVENTS), through]:
            if piece_through < first or self._is_closing.is_set():
                return
            self._removals.begin(piece_through)
            with self._database.cursor() as cursor:
                cursor.begin()
                remove_through(cursor, piece_through)
                cursor.execute("DELETE FROM argus_arrivals WHERE sequence <= ?", [piece_through])
                cursor.commit()
            self._removals.end(piece_through)
            self._has_space_to_free = True
        _log.info("events_removed", events=through - first + 1, removed_through=through)

    def _free_space(self) -> bool:
        """Whether it could: DuckDB does it only in a moment without any other transaction."""
        if not self._files.free_space(self._wait_s if self._has_room() else None):
            self._wait_s = min(2 * self._wait_s, _MAX_WAIT_S)
            return False
        self._wait_s = _FIRST_WAIT_S
        self._has_space_to_free = False
        if (
            self._compact_from is None
            and self._may_compact()
            and self._files.are_too_large(self._limits.max_bytes, by_far=True)
        ):
            self._compact_from = self._watermark()
            self._compacted_through = self._removals.through
        return True

    def _may_compact(self) -> bool:
        """Not again before half as many events have been removed as are left: what cannot be moved, such as
        the other tables, may lie at the file's end."""
        if self._compacted_through is None:
            return True
        removed = self._removals.through - self._compacted_through
        return 2 * removed >= self._events

    def _compact(self) -> None:
        """One step of it: moves the newest events that have not been moved to where space is free."""
        least = self._files.least_moved()
        for _ in range(_MOVES_AT_ONCE):
            if self._compact_from is None or self._compact_from < least:
                self._compact_from = None
                return
            if not self._has_room(self._files.move_bytes):
                # The next look frees what was moved, or removes something.
                return
            self._compact_from = self._files.move(self._compact_from)
            self._has_space_to_free = True
        if not self._files.are_too_large(self._limits.max_bytes, by_far=False):
            self._compact_from = None


def _last_mark(cursor: duckdb.DuckDBPyConnection) -> tuple[int, float]:
    query = "SELECT coalesce(max(sequence), 0), coalesce(max(arrived_by_s), 0) FROM argus_arrivals"
    ((sequence, marked_s),) = cursor.execute(query).fetchall()
    return int(sequence), float(marked_s)
