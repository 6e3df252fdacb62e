"""One open DuckDB file, opened again when DuckDB has given it up."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import duckdb
import structlog

from argus_grpc.errors import StoreUnavailable

_T = TypeVar("_T")
_log = structlog.get_logger()


class CannotOpen(Exception):
    """The database cannot be opened. `str()` says where it is, which is for whoever starts the server."""


class Database:
    """Gives cursors of a database to many threads, each for a short while.

    After a failed write of its own, such as a checkpoint on a full disk, DuckDB refuses everything
    ("the database has been invalidated") until the file is opened again. All that was committed is in
    the file, so that is done here, by whoever comes next, as soon as no cursor is in use.

    open_: opens it; called again each time DuckDB has given it up. Raises CannotOpen.

    Raises StoreUnavailable if it cannot be opened, with all that is known of why.
    """

    def __init__(self, open_: Callable[[], duckdb.DuckDBPyConnection]) -> None:
        self._open = open_
        try:
            self._connection: duckdb.DuckDBPyConnection | None = open_()
        except CannotOpen as error:
            raise StoreUnavailable(str(error)) from error
        self._in_use = 0
        self._is_given_up = False
        self._is_wanted_alone = False
        self._changed = threading.Condition()

    @contextmanager
    def cursor(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection for this thread alone. Whoever has one must not ask for another.

        Raises StoreUnavailable if the database cannot be opened again, and tries that anew at the next call.
        """
        with self._changed:
            self._changed.wait_for(lambda: not self._is_wanted_alone)
            if self._is_given_up:
                self._changed.wait_for(lambda: not self._in_use)
            cursor = self._take()
        with self._given_back(cursor):
            yield cursor

    @contextmanager
    def alone(self, timeout_s: float | None) -> Iterator[duckdb.DuckDBPyConnection | None]:
        """As cursor(), while nobody else has one; those who ask for one wait meanwhile. None if those who
        have one have not all given it back within timeout_s; None waits as long as they take."""
        with self._changed:
            self._changed.wait_for(lambda: not self._is_wanted_alone)
            self._is_wanted_alone = True
        try:
            with self._changed:
                is_alone = self._changed.wait_for(lambda: not self._in_use, timeout_s)
                cursor = self._take() if is_alone else None
            if cursor is None:
                yield None
            else:
                with self._given_back(cursor):
                    yield cursor
        finally:
            with self._changed:
                self._is_wanted_alone = False
                self._changed.notify_all()

    def read(self, read: Callable[[duckdb.DuckDBPyConnection], _T]) -> _T:
        """What `read` returns for a cursor; it is called once more if DuckDB had given the database up."""
        try:
            with self.cursor() as cursor:
                return read(cursor)
        except duckdb.FatalException:
            with self.cursor() as cursor:
                return read(cursor)

    def is_available(self) -> bool:
        """Whether it can be used. One that DuckDB has given up is opened again first, if that can be."""
        if not self._is_given_up:
            return True
        try:
            with self.cursor():
                return True
        except StoreUnavailable:
            return False

    def close(self) -> None:
        """Closes it, once no cursor is in use."""
        with self._changed:
            self._changed.wait_for(lambda: not self._in_use)
            if self._connection is not None:
                self._connection.close()

    def _take(self) -> duckdb.DuckDBPyConnection:
        if self._is_given_up or self._connection is None:
            self._open_again()
        cursor = self._usable.cursor()
        self._in_use += 1
        return cursor

    @contextmanager
    def _given_back(self, cursor: duckdb.DuckDBPyConnection) -> Iterator[None]:
        try:
            yield
        except duckdb.FatalException:
            self._is_given_up = True
            raise
        finally:
            cursor.close()
            with self._changed:
                self._in_use -= 1
                self._changed.notify_all()

    @property
    def _usable(self) -> duckdb.DuckDBPyConnection:
        assert self._connection is not None
        return self._connection

    def _open_again(self) -> None:
        # DuckDB gives out the same instance while a connection to it is open.
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        try:
            self._connection = self._open()
        except CannotOpen as error:
            _log.error("database_unreadable", error=str(error))
            # To whoever calls: where it is, and what is there, is nothing for them.
            raise StoreUnavailable("the database cannot be opened") from None
        self._is_given_up = False
        _log.warning("database_opened_again")
