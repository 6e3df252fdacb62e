"""Reads that another thread can stop."""

import threading
from collections.abc import Callable
from typing import TypeVar

import duckdb
import pyarrow as pa

from argus_grpc.errors import Cancelled
from argus_grpc.store.database import Database

_T = TypeVar("_T")


class Reads:
    """The reads of one caller, one at a time. Only `cancel` may be called from other threads."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._cancelled = False
        self._running: duckdb.DuckDBPyConnection | None = None

    def cancel(self) -> None:
        """Stops the running read, if any; it and all later ones raise Cancelled."""
        with self._lock:
            self._cancelled = True
            if self._running is not None:
                self._running.interrupt()

    def run(self, read: Callable[[duckdb.DuckDBPyConnection], _T]) -> _T:
        """What `read` returns for a cursor, as Database.read. Raises Cancelled."""

        def read_unless_cancelled(cursor: duckdb.DuckDBPyConnection) -> _T:
            with self._lock:
                if self._cancelled:
                    raise Cancelled
                self._running = cursor
            try:
                return read(cursor)
            finally:
                with self._lock:
                    self._running = None

        try:
            return self._database.read(read_unless_cancelled)
        except (duckdb.Error, pa.ArrowException, OSError):
            # An interruption comes as an error of DuckDB or, in the middle of a read, of Arrow or the system.
            if self._cancelled:
                raise Cancelled from None
            raise
