"""Groups of events: computed by one query, and kept aside until their reader has taken them."""

import io
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, wait
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Self

import duckdb
import pyarrow as pa

from argus_grpc.errors import StoreFull, TooLarge
from argus_grpc.store.database import Database
from argus_grpc.store.disk import DiskSpace, full_text
from argus_grpc.store.reads import Reads

# What a store in memory keeps aside of one query, and what goes to a file beyond it otherwise.
_MAX_BYTES_IN_MEMORY = 16 * 1024 * 1024
_FILE_ABOVE_BYTES = 1024 * 1024
_ROWS_AT_A_TIME = 16_384
_OUT_OF_MEMORY = "Out of Memory Error"


@dataclass(frozen=True)
class Totals:
    """How many groups there are, and how many events in them. Events with sequences from 1 to
    removed_through were gone when they were grouped, no others."""

    groups: int
    events: int
    removed_through: int


class Grouped:
    """The groups that one query gives, in its order.

    They are written to a file of their own as fast as DuckDB gives them, and read from there. So neither
    a transaction nor a thread of the store's waits for a reader, however slow, and how many there are is
    known before the first is given out.

    To be used by one thread; only `cancel` may be called from others. Close it, or use `with`.
    """

    def __init__(
        self, database: Database, threads: Executor, sql: str, folder: Path | None, disk: DiskSpace | None
    ) -> None:
        """folder: where the file is made; None keeps it in memory.
        disk: what must have room for it."""
        self._reads = Reads(database)
        self._threads = threads
        self._sql = sql
        self._folder = folder
        self._disk = disk
        self._file: IO[bytes] | None = None
        self._computing: Future[Totals] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if self._computing is not None and not self._computing.cancel():
            self.cancel()
            wait([self._computing])
        if self._file is not None:
            self._file.close()

    def cancel(self) -> None:
        """Stops the query; what goes on with it raises Cancelled."""
        self._reads.cancel()

    def compute(
        self,
        schema: pa.Schema,
        cut: Callable[[pa.RecordBatch], Iterator[pa.RecordBatch]],
        first_row: int,
        max_rows: int | None,
    ) -> Future[Totals]:
        """Runs the query, whose last column counts a group's events, in a thread of the store.

        `cut` makes of the other columns batches of this schema. Only max_rows groups from the first_row-th
        are kept. The future raises Cancelled, TooLarge, and what `cut` raises.
        """

        def compute(cursor: duckdb.DuckDBPyConnection) -> Totals:
            if self._file is not None:
                self._file.close()
            self._file = self._new_file()
            groups = events = 0
            # One transaction: both see the database at one moment.
            cursor.begin()
            ((removed_through,),) = cursor.sql("SELECT through FROM argus_removed").fetchall()
            with (
                pa.ipc.new_stream(self._file, schema) as writer,
                cursor.sql(self._sql).to_arrow_reader(_ROWS_AT_A_TIME) as reader,
            ):
                for batch in reader:
                    start = max(0, first_row - groups)
                    stop = batch.num_rows if max_rows is None else first_row + max_rows - groups
                    groups += batch.num_rows
                    *columns, counts = batch.columns
                    events += counts.sum().as_py()
                    if start < min(stop, batch.num_rows):
                        wanted = batch.select(range(len(columns))).slice(start, stop - start)
                        self._write(writer, cut(wanted))
            return Totals(groups, events, removed_through)

        self._computing = self._threads.submit(self._told, compute)
        return self._computing

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The groups kept, once they have been computed."""
        assert self._file is not None
        self._file.seek(0)
        with pa.ipc.open_stream(self._file) as reader:
            yield from reader

    # What follows runs in a thread of the store.

    def _told(self, compute: Callable[[duckdb.DuckDBPyConnection], Totals]) -> Totals:
        try:
            return self._reads.run(compute)
        except (duckdb.Error, pa.ArrowException, OSError) as error:
            # What fails in the middle of a read comes as an error of Arrow, with DuckDB's text.
            if _OUT_OF_MEMORY in str(error):
                raise TooLarge(
                    "memory_limit", "the groups need more memory than the database may use"
                ) from error
            if found := full_text(error):
                raise TooLarge("disk_space", f"the groups need more disk than there is ({found})") from error
            raise

    def _write(self, writer: pa.RecordBatchStreamWriter, batches: Iterator[pa.RecordBatch]) -> None:
        assert self._file is not None
        for batch in batches:
            writer.write_batch(batch)
            if self._folder is None and self._file.tell() > _MAX_BYTES_IN_MEMORY:
                raise TooLarge("result_bytes", f"the limit of {_MAX_BYTES_IN_MEMORY} bytes is reached")
            if self._disk is not None:
                try:
                    self._disk.check()
                except StoreFull as error:
                    raise TooLarge("disk_space", "the groups need more disk than there is") from error

    def _new_file(self) -> IO[bytes]:
        if self._folder is None:
            return io.BytesIO()
        return tempfile.SpooledTemporaryFile(_FILE_ABOVE_BYTES, dir=str(self._folder))
