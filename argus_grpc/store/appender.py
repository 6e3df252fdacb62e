"""Batches from many threads → the events table, all that wait in one commit."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import structlog

from argus_grpc.batches import joined
from argus_grpc.errors import InvalidField, StoreFull, StoreUnavailable
from argus_grpc.store.batch_ids import BatchId, BatchIds
from argus_grpc.store.brought import Appended, Brought
from argus_grpc.store.database import Database
from argus_grpc.store.disk import full_text
from argus_grpc.store.schema import ROW_GROUP_EVENTS

_REOPEN_EVERY_S = 1.0

_log = structlog.get_logger()

MakeRoom = Callable[[int], None]
OnCommitted = Callable[[pa.RecordBatch, range], None]
BeforeCommit = Callable[[duckdb.DuckDBPyConnection, pa.RecordBatch], None]


@dataclass(frozen=True)
class CommitTiming:
    """When what waits is committed: interval_s seconds after the last commit began, or at once when it
    has size_bytes. A batch that comes alone, after one that came alone, does not wait."""

    interval_s: float = 0.05
    size_bytes: int = 8 * 1024 * 1024


DEFAULT_TIMING = CommitTiming()


@dataclass(frozen=True, eq=False)
class _Waiting:
    """A batch, and the answer to who brought it."""

    brought: Brought
    batch_id: BatchId | None
    answer: "Future[Appended]" = field(default_factory=Future)


_New = tuple[_Waiting, pa.RecordBatch]


class Appender:
    """Commits batches of events in the order of their arrival and gives them sequences.

    While one commit runs the batches that come wait, and the next commit takes them all: a commit of
    many costs little more than a commit of one. It runs in a thread of its own, since DuckDB's
    allocators keep memory for every thread that writes.

    make_room: called before each commit with the bytes of its events. Raises what refuses them.
    last_sequence: the greatest sequence that was given; 0: none.
    on_committed: called in the appender's thread for each commit, in order, with all its events (the
        columns that any of them has set, and sequence) and their sequences, before anyone is told. It must
        not raise.
    before_commit: called in each transaction once all its events (as above) are in.
    on_commit_took: called with the seconds of each transaction.
    """

    def __init__(
        self,
        database: Database,
        make_room: MakeRoom,
        batch_ids: BatchIds,
        last_sequence: int,
        on_committed: OnCommitted,
        timing: CommitTiming = DEFAULT_TIMING,
        before_commit: BeforeCommit | None = None,
        on_commit_took: Callable[[float], None] = lambda _: None,
    ) -> None:
        self._database = database
        self._make_room = make_room
        self._batch_ids = batch_ids
        self._last_sequence = last_sequence
        self._on_committed = on_committed
        self._timing = timing
        self._before_commit = before_commit
        self._on_commit_took = on_commit_took
        self._waiting: list[_Waiting] = []
        self._waiting_bytes = 0
        self._unanswered: dict[BatchId, _Waiting] = {}
        self._began_s = -timing.interval_s
        self._was_alone = True
        self._is_closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="appender", daemon=True)
        self._thread.start()

    def append(self, events: Brought, batch_id: BatchId | None = None) -> Appended:
        """Stores events, at least one, whole or not at all; returns their sequences once committed.

        A batch with an id that was stored before is not stored again. Raises InvalidField if that had
        another number of events, StoreFull, StoreUnavailable after close, and what DuckDB raises for these
        events; then they are not stored.
        """
        return self.begin_append(events, batch_id).result()

    def begin_append(self, events: Brought, batch_id: BatchId | None = None) -> "Future[Appended]":
        """As append(), which waits for what comes here, as a rule from the appender's thread. That calls
        what was added to be done then, which is to be quick."""
        waiting = _Waiting(events, batch_id)
        self._enqueue(waiting)
        return waiting.answer

    def _enqueue(self, waiting: _Waiting) -> None:
        with self._changed:
            other = self._unanswered.get(waiting.batch_id) if waiting.batch_id else None
            is_closed = self._is_closed
            if other is None and not is_closed:
                if waiting.batch_id:
                    self._unanswered[waiting.batch_id] = waiting
                self._waiting.append(waiting)
                self._waiting_bytes += waiting.brought.nbytes
                # Waking the thread for every batch costs more than storing a small one.
                if len(self._waiting) == 1 or self._waiting_bytes >= self._timing.size_bytes:
                    self._changed.notify()
                return
        if is_closed:
            waiting.answer.set_exception(StoreUnavailable("the database is closing"))
        elif other is not None:
            # Another call has brought the same batch: what became of it is known once that is answered.
            other.answer.add_done_callback(lambda _: self._enqueue(waiting))

    def close(self) -> None:
        """Commits what waits, and ends."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while group := self._take():
            self._store(group)

    def _take(self) -> list[_Waiting]:
        """What is to be committed next, once it is time; nothing after close."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._is_closed)
            if not self._was_alone:
                self._changed.wait_for(
                    lambda: self._is_closed or self._waiting_bytes >= self._timing.size_bytes,
                    self._began_s + self._timing.interval_s - time.monotonic(),
                )
            self._began_s = time.monotonic()
            count = size_bytes = 0
            for waiting in self._waiting:
                if count and size_bytes + waiting.brought.nbytes > self._timing.size_bytes:
                    break
                count, size_bytes = count + 1, size_bytes + waiting.brought.nbytes
            group, self._waiting = self._waiting[:count], self._waiting[count:]
            self._waiting_bytes -= size_bytes
            self._was_alone = count == 1
        return group

    def _store(self, group: list[_Waiting]) -> None:
        """Answers each of them."""
        try:
            new = self._decode(self._answer_known(group))
            if new:
                self._make_room(sum(events.nbytes for _, events in new))
                self._commit(new)
        except Exception as error:
            for waiting in group:
                if not waiting.answer.done():
                    self._answer(waiting, error)
        self._remove_old_ids()

    def _answer_known(self, group: list[_Waiting]) -> list[_Waiting]:
        """Answers those that were stored before; returns the others."""
        ids = [waiting.batch_id for waiting in group if waiting.batch_id]
        if not ids:
            return group
        known = self._database.read(lambda connection: self._batch_ids.find(connection, ids))
        new = []
        for waiting in group:
            sequences = known.get(waiting.batch_id) if waiting.batch_id else None
            if sequences is None:
                new.append(waiting)
            elif waiting.batch_id and len(sequences) != waiting.brought.num_rows:
                allowed = f"one that its source has not used yet: it was used for {len(sequences)} events"
                self._answer(waiting, InvalidField("batch_id", waiting.batch_id.batch_id, allowed))
            else:
                self._answer(waiting, Appended(sequences, was_stored_before=True))
        return new

    def _decode(self, group: list[_Waiting]) -> list[_New]:
        """The events of each; answers those that are refused."""
        events: dict[_Waiting, pa.RecordBatch | Exception] = {}
        undecoded: dict[type[Any], list[_Waiting]] = {}
        for waiting in group:
            if isinstance(waiting.brought, pa.RecordBatch):
                events[waiting] = waiting.brought
            else:
                undecoded.setdefault(type(waiting.brought), []).append(waiting)
        for kind, members in undecoded.items():
            decoded = kind.decode_all([waiting.brought for waiting in members])
            events.update(zip(members, decoded, strict=True))
        new = []
        for waiting in group:
            found = events[waiting]
            if isinstance(found, Exception):
                self._answer(waiting, found)
            else:
                new.append((waiting, found))
        return new

    def _commit(self, group: list[_New]) -> None:
        """Answers each of them; raises nothing that is about one of them."""
        first = self._last_sequence + 1
        appended = []
        for _, events in group:
            appended.append(Appended(range(first, first + events.num_rows)))
            first = appended[-1].sequences.stop
        sequences = range(self._last_sequence + 1, first)
        try:
            events = joined([events for _, events in group])
            events = events.add_column(0, "sequence", pa.array(np.arange(sequences.start, sequences.stop)))
            named = self._batch_ids.to_rows(
                {
                    waiting.batch_id: stored.sequences
                    for (waiting, _), stored in zip(group, appended, strict=True)
                    if waiting.batch_id
                }
            )
            with self._database.cursor() as connection:
                began_s = time.monotonic()
                self._insert(connection, events, named)
                self._on_commit_took(time.monotonic() - began_s)
        except Exception as error:
            if not self._are_stored(sequences):
                self._refuse(group, error)
                return
            # The transaction was written, then DuckDB failed at what it does after one.
            _log.warning("committed_despite_error", error=str(error))
        self._last_sequence = sequences[-1]
        self._batch_ids.committed(named)
        self._on_committed(events, sequences)
        for (waiting, _), stored in zip(group, appended, strict=True):
            self._answer(waiting, stored)

    def _insert(
        self, connection: duckdb.DuckDBPyConnection, events: pa.RecordBatch, named: pa.RecordBatch
    ) -> None:
        # Each of DuckDB's threads takes a record batch at a time, so these are whole row groups: those that
        # are not full a checkpoint makes anew.
        starts = range(0, events.num_rows, ROW_GROUP_EVENTS)
        slices = [events.slice(start, ROW_GROUP_EVENTS) for start in starts]
        # To register it would make a view of it, which takes half a millisecond.
        batch = pa.Table.from_batches(slices)  # noqa: F841 - DuckDB finds the variable that the SQL names
        connection.begin()
        connection.execute("INSERT INTO events BY NAME SELECT * FROM batch")
        self._batch_ids.insert(connection, named)
        if self._before_commit:
            self._before_commit(connection, events)
        connection.commit()

    def _are_stored(self, sequences: range) -> bool:
        """Whether they are in the file, which after a failed commit nothing else can say."""
        query = "SELECT max(sequence) FROM events"
        while True:
            try:
                row = self._database.read(lambda connection: connection.execute(query).fetchone())
                return row == (sequences[-1],)
            except (duckdb.Error, StoreUnavailable):
                _log.exception("database_unreadable")
                with self._changed:
                    if self._changed.wait_for(lambda: self._is_closed, _REOPEN_EVERY_S):
                        raise

    def _refuse(self, group: list[_New], error: Exception) -> None:
        """Answers a group that could not be stored: with the error those that it is about."""
        if found := full_text(error):
            error = StoreFull(found)
        elif len(group) > 1:
            # Which of them it is about is found out by committing each alone.
            for new in group:
                self._commit([new])
            return
        for waiting, _ in group:
            self._answer(waiting, error)

    def _answer(self, waiting: _Waiting, answer: Appended | Exception) -> None:
        if waiting.batch_id:
            with self._changed:
                del self._unanswered[waiting.batch_id]
        if isinstance(answer, Appended):
            waiting.answer.set_result(answer)
        else:
            waiting.answer.set_exception(answer)

    def _remove_old_ids(self) -> None:
        try:
            with self._database.cursor() as connection:
                self._batch_ids.remove_old(connection)
        except (duckdb.Error, StoreUnavailable):
            _log.exception("batch_ids_not_removed")
