"""Reading: the events that match one query, counted and read window by window."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, Self, TypeVar

import duckdb
import pyarrow as pa
import sqlglot
from sqlglot import exp

from argus_grpc.errors import Cancelled
from argus_grpc.v1.export_pb2 import Order
from argus_grpc.windows import split_position

_T = TypeVar("_T")


@dataclass(frozen=True)
class Extent:
    """How many events match, and their first and last timestamps; None if none matches."""

    row_count: int
    timestamps_ns: tuple[int, int] | None


class Selection:
    """The events of one query, in one order. Every read is a short query of its own, so no
    transaction stays open between reads, however slow the reader is.

    To be used by one thread; only `cancel` may be called from others. Close it, or use `with`.
    """

    def __init__(
        self,
        cursor: duckdb.DuckDBPyConnection,
        readers: Executor,
        matching_sql: str,
        order: "Order.ValueType",
    ) -> None:
        """Reads in the threads of `readers`."""
        self._cursor = cursor
        self._readers = readers
        self._matching = sqlglot.parse_one(matching_sql, read="duckdb", into=exp.Select).subquery("matching")
        self._in_time_order = order == Order.ORDER_TIME
        self._lock = threading.Lock()
        self._cancelled = self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        with self._lock:
            self._closed = True
        self._cursor.close()

    def cancel(self) -> None:
        """Stops the running read, if any; it and all later ones raise Cancelled."""
        with self._lock:
            self._cancelled = True
            if not self._closed:
                self._cursor.interrupt()

    def extent(self) -> Extent:
        count, first, last = self._row(exp.select("count(*)", "min(timestamp)", "max(timestamp)"))
        return Extent(count, (first, last) if count else None)

    def count(self, start: int, end: int) -> int:
        """How many events lie between two positions, the end excluded."""
        (count,) = self._row(exp.select("count(*)").where(*self._between(start, end)))
        return int(count)

    def read(self, columns: Sequence[str], start: int, end: int, row_count: int) -> pa.RecordBatch:
        """The events between two positions, the end excluded, in order: the columns named.

        `row_count` says how many they should be.
        """
        keys = ("timestamp", "sequence") if self._in_time_order else ("sequence",)
        found = self._table(_select(columns).where(*self._between(start, end)).order_by(*keys), row_count)
        return found.combine_chunks().to_batches()[0]

    def sample(self, columns: Sequence[str], max_rows: int) -> pa.Table:
        """Some of the events, whichever come first to hand."""
        return self._table(_select(columns).limit(max_rows), max_rows)

    def _between(self, start: int, end: int) -> list[exp.Condition]:
        timestamp, sequence = exp.column("timestamp"), exp.column("sequence")
        if not self._in_time_order:
            return [sequence >= start, sequence < end]
        first_timestamp, first_sequence = split_position(start)
        end_timestamp, end_sequence = split_position(end)
        # The first two let DuckDB skip row groups; the others settle the two edges.
        return [
            timestamp >= first_timestamp,
            timestamp <= end_timestamp,
            exp.or_(timestamp > first_timestamp, sequence >= first_sequence),
            exp.or_(timestamp < end_timestamp, sequence < end_sequence),
        ]

    def _row(self, select: exp.Select) -> tuple[Any, ...]:
        (row,) = self._query(select, lambda found: found.fetchall())
        return tuple(row)

    def _table(self, select: exp.Select, row_count: int) -> pa.Table:
        # A reader told the number of rows: to_arrow_table() takes room for a million.
        return self._query(select, lambda found: found.to_arrow_reader(row_count).read_all())

    def _query(self, select: exp.Select, fetch: Callable[[duckdb.DuckDBPyRelation], _T]) -> _T:
        sql = select.from_(self._matching).sql("duckdb")
        return self._readers.submit(self._run, sql, fetch).result()

    def _run(self, sql: str, fetch: Callable[[duckdb.DuckDBPyRelation], _T]) -> _T:
        if self._cancelled:
            raise Cancelled
        try:
            # sql(), since execute() copies the rows once more in DuckDB 2; values as literals, since
            # bound ones make sql() twenty times slower in DuckDB 1.5.
            return fetch(self._cursor.sql(sql))
        except (duckdb.Error, pa.ArrowException):
            # An interruption comes as an error of DuckDB or, in the middle of a read, of Arrow.
            if self._cancelled:
                raise Cancelled from None
            raise


def _select(columns: Sequence[str]) -> exp.Select:
    return exp.select(*(exp.column(name, quoted=True) for name in columns))
