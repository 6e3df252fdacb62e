"""Reading: the events that match one query, counted and read window by window."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, wait
from dataclasses import dataclass
from typing import Any, Protocol, Self, TypeAlias, TypeVar

import duckdb
import pyarrow as pa
from sqlglot import exp

from argus_grpc.errors import EventsRemoved
from argus_grpc.ordering import OrderedWindow
from argus_grpc.store.database import Database
from argus_grpc.store.reads import Reads
from argus_grpc.store.removals import Removals
from argus_grpc.v1.export_pb2 import Order
from argus_grpc.windows import SEQUENCE_SPAN, cut_windows, position, split_position

CompiledQuery: TypeAlias = exp.Subquery
"""What DuckDbStore.compile makes of a query: the events that match."""

_T = TypeVar("_T")

# Read in the statement that counts, it is of the same moment.
_REMOVED_THROUGH = "(SELECT through FROM argus_removed)"


@dataclass(frozen=True)
class Extent:
    """How many events match, and their first and last timestamps; None if none matches. Events with
    sequences from 1 to removed_through were gone when they were counted, no others."""

    row_count: int
    timestamps_ns: tuple[int, int] | None
    removed_through: int


class WindowSize(Protocol):
    """How large windows should be, which what was read may change."""

    def target_rows(self) -> int: ...
    def was_read(self, events: pa.RecordBatch) -> None: ...


class Selection:
    """The events of one query up to a watermark, in one order. Every read is a short query of its
    own, so no transaction stays open between reads, however slow the reader is.

    To be used by one thread; only `cancel` may be called from others. Close it, or use `with`.
    """

    def __init__(
        self,
        database: Database,
        removals: Removals,
        readers: Executor,
        matching: CompiledQuery,
        watermark: int,
        order: "Order.ValueType",
    ) -> None:
        """Reads in the threads of `readers`."""
        self._reads = Reads(database)
        self._removals = removals
        self._counted_through = 0
        self._readers = readers
        self._matching = matching
        self._watermark = watermark
        self._order = order
        self._ahead: Future[OrderedWindow | None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if self._ahead is not None and not self._ahead.cancel():
            self.cancel()
            wait([self._ahead])

    def cancel(self) -> None:
        """Stops the running read, if any; it and all later ones raise Cancelled."""
        self._reads.cancel()

    @property
    def removed_through(self) -> int:
        """The events with sequences from 1 to this one were gone when events were last counted, no others."""
        return min(self._counted_through, self._watermark)

    def extent(self) -> Extent:
        return self._readers.submit(self._extent).result()

    def bounds(self) -> Extent:
        """The extent, but with timestamps between which those of the events lie.

        Without conditions it comes from DuckDB's statistics, whatever the number of events; that
        of `extent` does only while nothing is ingested.
        """
        return self._readers.submit(self._bounds).result()

    def count(self, start: int, end: int) -> int:
        """How many events lie between two positions, the end excluded."""
        return self._readers.submit(self._count, start, end).result()

    def windows(
        self,
        columns: Sequence[str],
        start: int,
        end: int,
        total_rows: int,
        wanted_rows: int,
        size: WindowSize,
    ) -> Iterator[OrderedWindow]:
        """The first wanted_rows, or a few more, of the total_rows events between two positions that have
        been counted, in order, the columns named. One window is read ahead while another is used.

        Raises EventsRemoved when some that have not come yet were removed.
        """
        names = list(dict.fromkeys([*columns, "timestamp", "sequence"]))
        rows_left = total_rows

        def read(window_start: int, window_end: int, max_rows: int) -> OrderedWindow | None:
            nonlocal rows_left
            events = self._read(names, window_start, window_end, max_rows)
            if events is None:
                return None
            self._check_whole(window_start, end, rows_left)
            rows_left -= events.num_rows
            size.was_read(events)
            return OrderedWindow(events, columns, self._order)

        grain = SEQUENCE_SPAN if self._in_time_order else 1
        windows = cut_windows(
            start, end, total_rows, wanted_rows, read, self._place_after, size.target_rows, grain
        )
        self._ahead = self._readers.submit(next, windows, None)
        while (window := self._ahead.result()) is not None:
            self._ahead = self._readers.submit(next, windows, None)
            yield window

    def sample(self, columns: Sequence[str], max_rows: int) -> pa.Table:
        """Some of the events, whichever come first to hand."""
        select = _select(columns).where(self._up_to_watermark).limit(max_rows).from_(self._matching)
        return self._readers.submit(self._table, select, max_rows).result()

    @property
    def _in_time_order(self) -> bool:
        return self._order == Order.ORDER_TIME

    @property
    def _up_to_watermark(self) -> exp.Condition:
        return exp.column("sequence") <= self._watermark

    # What follows runs in a reader's thread.

    def _extent(self) -> Extent:
        select = exp.select("count(*)", "min(timestamp)", "max(timestamp)", _REMOVED_THROUGH)
        return self._to_extent(select.where(self._up_to_watermark).from_(self._matching))

    def _bounds(self) -> Extent:
        all_ = exp.select("count(*) AS rows", "min(timestamp) AS first", "max(timestamp) AS last")
        later = exp.select("count(*) AS rows").where(exp.column("sequence") > self._watermark)
        select = (
            exp.select("all_.rows - later.rows", "first", "last", _REMOVED_THROUGH)
            .from_(all_.from_(self._matching).subquery("all_"))
            .join(later.from_(self._matching).subquery("later"), join_type="cross")
        )
        return self._to_extent(select)

    def _to_extent(self, select: exp.Select) -> Extent:
        count, first, last, self._counted_through = self._row(select)
        return Extent(count, (first, last) if count else None, self.removed_through)

    def _check_whole(self, start: int, end: int, rows: int) -> None:
        """Raises EventsRemoved unless all rows that were counted between two positions are there."""
        begun_through = self._removals.begun_through
        if begun_through <= self._counted_through:
            return
        if not self._in_time_order and begun_through < start:
            return
        if self._count(start, end) != rows:
            raise EventsRemoved

    def _count(self, start: int, end: int) -> int:
        select = exp.select("count(*)", _REMOVED_THROUGH).where(*self._between(start, end))
        count, self._counted_through = self._row(select.from_(self._matching))
        return int(count)

    def _read(self, columns: Sequence[str], start: int, end: int, max_rows: int) -> pa.RecordBatch | None:
        """The events between two positions, in any order; None if there are more than max_rows."""
        select = _select(columns).where(*self._between(start, end)).from_(self._matching)
        return self._run(select, lambda found: _at_most(max_rows, found.to_arrow_reader(max_rows + 1)))

    def _place_after(self, start: int, end: int, rows: int) -> int:
        """Where between two positions so many events have gone before; the end, if there are fewer."""
        keys = ("timestamp", "sequence") if self._in_time_order else ("sequence",)
        select = exp.select(*keys).where(*self._between(start, end)).order_by(*keys).limit(1).offset(rows)
        found = self._run(select.from_(self._matching), lambda found: found.fetchall())
        if not found:
            return end
        return position(*found[0]) if self._in_time_order else int(found[0][0])

    def _between(self, start: int, end: int) -> list[exp.Condition]:
        timestamp, sequence = exp.column("timestamp"), exp.column("sequence")
        if not self._in_time_order:
            return [sequence >= start, sequence < end]
        first_timestamp, first_sequence = split_position(start)
        end_timestamp, end_sequence = split_position(end)
        # What lets DuckDB skip row groups, and what settles the edges.
        conditions = [timestamp >= first_timestamp, self._up_to_watermark]
        if first_sequence:
            conditions.append(exp.or_(timestamp > first_timestamp, sequence >= first_sequence))
        if end_sequence:
            conditions.append(timestamp <= end_timestamp)
            conditions.append(exp.or_(timestamp < end_timestamp, sequence < end_sequence))
        else:
            conditions.append(timestamp < end_timestamp)
        return conditions

    def _row(self, select: exp.Select) -> tuple[Any, ...]:
        (row,) = self._run(select, lambda found: found.fetchall())
        return tuple(row)

    def _table(self, select: exp.Select, row_count: int) -> pa.Table:
        # A reader told the number of rows: to_arrow_table() takes room for a million.
        return self._run(select, lambda found: found.to_arrow_reader(row_count).read_all())

    def _run(self, select: exp.Select, fetch: Callable[[duckdb.DuckDBPyRelation], _T]) -> _T:
        # sql(), since execute() copies the rows once more in DuckDB 2; values as literals, since bound ones
        # make sql() twenty times slower in DuckDB 1.5.
        sql = select.sql("duckdb")
        return self._reads.run(lambda cursor: fetch(cursor.sql(sql)))


def _at_most(max_rows: int, reader: pa.RecordBatchReader) -> pa.RecordBatch | None:
    batches, rows = [], 0
    with reader:
        for batch in reader:
            rows += batch.num_rows
            if rows > max_rows:
                return None
            batches.append(batch)
    if len(batches) == 1:
        return batches[0]
    return pa.concat_batches(batches) if batches else pa.RecordBatch.from_pylist([], schema=reader.schema)


def _select(columns: Sequence[str]) -> exp.Select:
    return exp.select(*(exp.column(name, quoted=True) for name in columns))
