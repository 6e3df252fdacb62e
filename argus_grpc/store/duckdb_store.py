"""The events in a DuckDB database: one writer, any number of readers, in one process."""

import secrets
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import TypeAlias

import duckdb
import ibis
import ibis.expr.types as ir
import pyarrow as pa
import sqlglot
from sqlglot import exp

from argus_grpc.calls import current_principal
from argus_grpc.errors import StoreUnavailable
from argus_grpc.fair import FairSlots, FairThreads
from argus_grpc.store.appender import DEFAULT_TIMING, Appender, CommitTiming
from argus_grpc.store.batch_ids import MAX_SEGMENTS, BatchId, BatchIds
from argus_grpc.store.brought import Appended, Brought
from argus_grpc.store.database import CannotOpen, Database
from argus_grpc.store.disk import DiskSpace
from argus_grpc.store.files import DatabaseFiles, checkpoint_bytes
from argus_grpc.store.grouped import Grouped
from argus_grpc.store.newest import Newest
from argus_grpc.store.removals import Removals
from argus_grpc.store.retention import Retention, RetentionLimits
from argus_grpc.store.schema import create_or_upgrade
from argus_grpc.store.selection import CompiledQuery, Selection
from argus_grpc.v1.export_pb2 import Order

READER_THREADS = 4
# One at a time, so that none lacks the memory that another one has.
GROUPER_THREADS = 1
DEFAULT_BATCH_ID_LIFETIME_S = 7 * 24 * 3600
DEFAULT_NEWEST_EVENTS = 65_536
NO_LIMITS = RetentionLimits()

_BATCH_ID_SEGMENTS_IN_MEMORY = 2

_Settings: TypeAlias = dict[str, str | bool | int | float | list[str]]

# Of new files: what the oldest DuckDB served here reads. It compresses texts in two thirds of the time
# that DuckDB's default, which much older ones read, takes.
_STORAGE_VERSION = "v1.5.0"


class DuckDbStore:
    """The store of one database file, which it creates where there is none, or in memory.

    path: the file; None keeps the newest events in memory.
    newest_events: how many those are.
    limits: what a file keeps.
    on_commit_took: called with the seconds of each commit, by the thread that commits.
    clock: says the seconds since the Unix epoch.

    Safe for use by many threads. Raises StoreUnavailable if the file cannot be opened.
    """

    def __init__(
        self,
        path: Path | None,
        memory_limit_bytes: int,
        batch_id_lifetime_s: float = DEFAULT_BATCH_ID_LIFETIME_S,
        disk_reserve_bytes: int = 0,
        commit_timing: CommitTiming = DEFAULT_TIMING,
        *,
        newest_events: int = DEFAULT_NEWEST_EVENTS,
        limits: RetentionLimits = NO_LIMITS,
        on_commit_took: Callable[[float], None] = lambda _: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        log_bytes = checkpoint_bytes(limits.max_bytes)
        keeps_all = path is not None and limits == NO_LIMITS
        self._database = Database(_opener(path, memory_limit_bytes, log_bytes, keeps_all=keeps_all))
        self._write_lock = threading.Lock()
        # All reads run in a few threads: what DuckDB's allocators keep for every thread that ever
        # ran a query came to 5 MB, which a hundred calls would make half a gigabyte.
        self._readers = FairThreads(READER_THREADS, "reader")
        # A grouping may take minutes; exports do not wait for it.
        self._groupers = FairThreads(GROUPER_THREADS, "grouper")
        self._compiling = FairSlots(1)
        removed_through, last = self._database.read(_last_sequences)
        self._removals = Removals(removed_through)
        self._watermark = max(removed_through, last)
        self._has_news = threading.Condition()
        self._is_stopping = False
        self.store_id = self.random_bytes("store_id")[:8].hex()
        """Names this store, wherever its file is moved: sequences mean nothing to another one."""
        # The first compilation loads the compiler, half a second that no caller should wait.
        ibis.to_sql(ibis.table({"sequence": "int64"}, name="events"), dialect="duckdb")
        self._newest = self._retention = self._files = None
        if path is None:
            self._newest = Newest(newest_events, memory_limit_bytes, self._database, self._removals)
        else:
            self._files = DatabaseFiles(path, self._database, log_bytes)
            self._retention = Retention(
                limits, self._database, self._files, self._removals, lambda: self._watermark, clock
            )
        self._folder = path.parent if path else None
        self._disk = DiskSpace(path.parent, disk_reserve_bytes) if path else None
        self._appender = Appender(
            self._database,
            self._make_room,
            BatchIds(
                self._database,
                batch_id_lifetime_s,
                max_segments=MAX_SEGMENTS if path else _BATCH_ID_SEGMENTS_IN_MEMORY,
            ),
            self._watermark,
            self._on_committed,
            commit_timing,
            self._newest.before_commit if self._newest else None,
            on_commit_took,
        )
        if self._retention:
            self._retention.start()

    @property
    def watermark(self) -> int:
        """The greatest committed sequence; 0 while there is none. All below it are committed too."""
        return self._watermark

    @property
    def removed_through(self) -> int:
        """The events with sequences from 1 to this one are gone; 0: none is."""
        return self._removals.through

    @property
    def is_available(self) -> bool:
        """Whether events can be read and stored."""
        return self._database.is_available()

    @property
    def file_bytes(self) -> int:
        """The size of the database's file; 0 in memory."""
        return self._files.file_bytes() if self._files else 0

    @property
    def wal_bytes(self) -> int:
        """The size of its logs."""
        return self._files.wal_bytes() if self._files else 0

    def wait_for_commit(self, after: int, timeout_s: float, is_over: Callable[[], bool]) -> None:
        """Returns once an event with a greater sequence is committed, is_over() holds, or the time is up.

        Whoever makes is_over() hold calls wake_waiting(). Raises StoreUnavailable once stop_waiting() has
        been called.
        """
        with self._has_news:
            self._has_news.wait_for(
                lambda: self._watermark > after or self._is_stopping or is_over(), timeout_s
            )
            if self._is_stopping:
                raise StoreUnavailable("the server is stopping; resume to go on")

    def wake_waiting(self) -> None:
        """Has all that wait for a commit look whether their wait is over."""
        with self._has_news:
            self._has_news.notify_all()

    def stop_waiting(self) -> None:
        """Ends all waits for a commit, and those to come."""
        self._is_stopping = True
        self.wake_waiting()

    def append(self, events: Brought, batch_id: BatchId | None = None) -> Appended:
        """Stores events, whole or not at all, and returns the sequences they were given. A batch with an id
        is stored once: sent again, it gets the sequences that it was given then.

        `events`, at least one, has columns of the stored schema, without sequence; those that are
        missing are NULL. On return they are committed: on disk, where there is a file. What several
        threads bring at a time is committed together, yet each batch is stored or refused by itself: see
        Appender.append.
        """
        return self._appender.append(events, batch_id)

    def begin_append(self, events: Brought, batch_id: BatchId | None = None) -> "Future[Appended]":
        """As append(), without waiting: see Appender.begin_append."""
        return self._appender.begin_append(events, batch_id)

    def _make_room(self, coming_bytes: int) -> None:
        if self._disk:
            self._disk.check()
        if self._retention:
            self._retention.make_room(coming_bytes)

    def _on_committed(self, events: pa.RecordBatch, sequences: range) -> None:
        """All that is committed passes here, in order, before those who brought it are told."""
        self._watermark = sequences[-1]
        if self._newest:
            self._newest.committed(events)
        self.wake_waiting()

    def compile(self, matching: Callable[[], ir.Table]) -> CompiledQuery:
        """The expression over the events table that a function makes, for select(), whose costly part this
        is."""
        sql = self._to_sql(matching)
        return sqlglot.parse_one(sql, read="duckdb", into=exp.Select).subquery("matching")

    def select(self, matching: CompiledQuery, watermark: int, order: "Order.ValueType") -> Selection:
        """Opens the events of a compiled expression, those up to the watermark, for reading."""
        return Selection(self._database, self._removals, self._readers, matching, watermark, order)

    def group(self, groups: Callable[[], ir.Table]) -> Grouped:
        """Opens the expression over the events table that a function makes, which groups them, for reading.
        Its last column counts a group's events."""
        return Grouped(self._database, self._groupers, self._to_sql(groups), self._folder, self._disk)

    def _to_sql(self, make: Callable[[], ir.Table]) -> str:
        # In turns of the callers: it is the interpreter's work, some 10 ms of it, which fifty threads of one
        # would have another wait for.
        with self._compiling.turn(current_principal()):
            return str(ibis.to_sql(make(), dialect="duckdb"))

    def random_bytes(self, name: str) -> bytes:
        """32 random bytes kept with the database under a name; made when first asked for."""
        with self._write_lock, self._database.cursor() as connection:
            query = "SELECT bytes FROM argus_random WHERE name = ?"
            rows = connection.execute(query, [name]).fetchall()
            if not rows:
                made = secrets.token_bytes(32)
                connection.execute("INSERT INTO argus_random VALUES (?, ?)", [name, made])
                return made
        return bytes(rows[0][0])

    def close(self) -> None:
        """Closes the database, after what is under way."""
        self._appender.close()
        if self._retention:
            self._retention.close()
        self._readers.shutdown()
        self._groupers.shutdown()
        self._database.close()


def _opener(
    path: Path | None, memory_limit_bytes: int, log_bytes: int, *, keeps_all: bool
) -> Callable[[], duckdb.DuckDBPyConnection]:
    """What opens the database. One in memory can be opened only once, since it is empty then."""
    config: _Settings = {
        "memory_limit": f"{memory_limit_bytes}B",
        "checkpoint_threshold": f"{log_bytes}B",
        # Reads sort by themselves, and unordered inserts use all cores.
        "preserve_insertion_order": False,
    }
    if not keeps_all:
        # Where events are removed, checkpoints would put together row groups that have lost many, at the
        # price of seconds and of room for all of them in the file, though the rest of them goes soon too.
        config["max_vacuum_tasks"] = 0
    if path is None:
        is_opened = False

        def open_once() -> duckdb.DuckDBPyConnection:
            nonlocal is_opened
            if is_opened:
                raise StoreUnavailable("the events in memory are lost; start the server again")
            is_opened = True
            # Nothing of it goes to a disk.
            return _open(":memory:", {**config, "temp_directory": ""})

        return open_once
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreUnavailable(f"cannot make the database's folder {path.parent}: {error}") from error
    return lambda: _open(path, {**config, "storage_compatibility_version": _STORAGE_VERSION})


def _open(path: Path | str, config: _Settings) -> duckdb.DuckDBPyConnection:
    try:
        connection = duckdb.connect(path, config=config)
        create_or_upgrade(connection)
    except (duckdb.Error, OSError) as error:
        raise CannotOpen(f"cannot open the database {path}: {error}") from error
    return connection


def _last_sequences(cursor: duckdb.DuckDBPyConnection) -> tuple[int, int]:
    """The last sequence that was removed and the last that is there; 0: none."""
    query = "SELECT through, (SELECT coalesce(max(sequence), 0) FROM events) FROM argus_removed"
    ((removed_through, last),) = cursor.execute(query).fetchall()
    return int(removed_through), int(last)
