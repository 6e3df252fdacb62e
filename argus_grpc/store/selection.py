"""Reading: the events that match one query, counted and read window by window."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import duckdb
import pyarrow as pa

from argus_grpc.errors import Cancelled
from argus_grpc.v1.export_pb2 import Order
from argus_grpc.windows import split_position

# The first two conditions let DuckDB skip row groups; the others settle the two edges.
_TIME_RANGE = (
    "timestamp >= $first_timestamp AND timestamp <= $end_timestamp"
    " AND (timestamp > $first_timestamp OR sequence >= $first_sequence)"
    " AND (timestamp < $end_timestamp OR sequence < $end_sequence)"
)
_ARRIVAL_RANGE = "sequence >= $first_sequence AND sequence < $end_sequence"


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
        self._matching_sql = matching_sql
        self._order = order
        self._cancelled = threading.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._cursor.close()

    def cancel(self) -> None:
        """Stops the running read, if any; it and all later ones raise Cancelled."""
        self._cancelled.set()
        self._cursor.interrupt()

    def extent(self) -> Extent:
        row = self._execute("count(*), min(timestamp), max(timestamp)").fetchone()
        assert row is not None
        count, first, last = row
        return Extent(count, (first, last) if count else None)

    def count(self, start: int, end: int) -> int:
        """How many events lie between two positions, the end excluded."""
        row = self._execute("count(*)", self._range(), self._range_values(start, end)).fetchone()
        assert row is not None
        return int(row[0])

    def read(self, columns: Sequence[str], start: int, end: int) -> pa.RecordBatch:
        """The events between two positions, in order: the columns named."""
        keys = "timestamp, sequence" if self._order == Order.ORDER_TIME else "sequence"
        names = ", ".join(f'"{name}"' for name in columns)
        found = self._execute(names, f"{self._range()} ORDER BY {keys}", self._range_values(start, end))
        return found.to_arrow_table().combine_chunks().to_batches()[0]

    def sample(self, columns: Sequence[str], max_rows: int) -> pa.Table:
        """Some of the events, whichever come first to hand."""
        names = ", ".join(f'"{name}"' for name in columns)
        return self._execute(names, f"true LIMIT {max_rows:d}").to_arrow_table()

    def _range(self) -> str:
        return _TIME_RANGE if self._order == Order.ORDER_TIME else _ARRIVAL_RANGE

    def _range_values(self, start: int, end: int) -> dict[str, int]:
        if self._order != Order.ORDER_TIME:
            return {"first_sequence": start, "end_sequence": end}
        first_timestamp, first_sequence = split_position(start)
        end_timestamp, end_sequence = split_position(end)
        return {
            "first_timestamp": first_timestamp,
            "first_sequence": first_sequence,
            "end_timestamp": end_timestamp,
            "end_sequence": end_sequence,
        }

    def _execute(
        self, what: str, where: str = "true", values: dict[str, int] | None = None
    ) -> duckdb.DuckDBPyConnection:
        if self._cancelled.is_set():
            raise Cancelled("the export was cancelled")
        sql = f"SELECT {what} FROM ({self._matching_sql}) AS matching WHERE {where}"  # noqa: S608 - compiled above, values bound
        try:
            return self._cursor.execute(sql, values)
        except duckdb.InterruptException:
            raise Cancelled("the export was cancelled") from None
