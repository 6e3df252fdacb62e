"""Reading: the events that match one query, counted and read window by window."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import duckdb
import pyarrow as pa
import sqlglot
from sqlglot import exp

from argus_grpc.errors import Cancelled
from argus_grpc.v1.export_pb2 import Order
from argus_grpc.windows import split_position

_TIMESTAMP, _SEQUENCE = exp.column("timestamp"), exp.column("sequence")


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
        self, cursor: duckdb.DuckDBPyConnection, matching_sql: str, order: "Order.ValueType"
    ) -> None:
        self._cursor = cursor
        self._matching = sqlglot.parse_one(matching_sql, read="duckdb", into=exp.Select).subquery("matching")
        self._in_time_order = order == Order.ORDER_TIME
        self._lock = threading.Lock()
        self._cancelled = self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
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
        found = self._fetch(exp.select("count(*)", "min(timestamp)", "max(timestamp)"))
        count, first, last = (column[0].as_py() for column in found.columns)
        return Extent(count, (first, last) if count else None)

    def count(self, start: int, end: int) -> int:
        """How many events lie between two positions, the end excluded."""
        found = self._fetch(exp.select("count(*)").where(*self._between(start, end)))
        return int(found.column(0)[0].as_py())

    def read(self, columns: Sequence[str], start: int, end: int) -> pa.RecordBatch:
        """The events between two positions, the end excluded, in order: the columns named."""
        keys = (_TIMESTAMP, _SEQUENCE) if self._in_time_order else (_SEQUENCE,)
        found = self._fetch(_select(columns).where(*self._between(start, end)).order_by(*keys))
        return found.combine_chunks().to_batches()[0]

    def sample(self, columns: Sequence[str], max_rows: int) -> pa.Table:
        """Some of the events, whichever come first to hand."""
        return self._fetch(_select(columns).limit(max_rows))

    def _between(self, start: int, end: int) -> list[exp.Condition]:
        if not self._in_time_order:
            return [start <= _SEQUENCE, end > _SEQUENCE]
        first_timestamp, first_sequence = split_position(start)
        end_timestamp, end_sequence = split_position(end)
        # The first two let DuckDB skip row groups; the others settle the two edges.
        return [
            first_timestamp <= _TIMESTAMP,
            end_timestamp >= _TIMESTAMP,
            exp.or_(first_timestamp < _TIMESTAMP, first_sequence <= _SEQUENCE),
            exp.or_(_TIMESTAMP < end_timestamp, _SEQUENCE < end_sequence),  # noqa: SIM300 - no constant
        ]

    def _fetch(self, select: exp.Select) -> pa.Table:
        if self._cancelled:
            raise Cancelled
        try:
            # sql(), since execute() copies the rows once more in DuckDB 2; values as literals, since
            # bound ones make sql() twenty times slower in DuckDB 1.5.
            return self._cursor.sql(select.from_(self._matching).sql("duckdb")).to_arrow_table()
        except duckdb.InterruptException:
            raise Cancelled from None


def _select(columns: Sequence[str]) -> exp.Select:
    return exp.select(*(exp.column(name, quoted=True) for name in columns))
