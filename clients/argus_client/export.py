"""One export, as a Python user reads or writes it."""

import os
from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import partial
from typing import TYPE_CHECKING, BinaryIO, Self

import pyarrow as pa

from argus_client import frames
from argus_client.compression import Compression
from argus_client.connection import Connection
from argus_client.formats import RenderOptions
from argus_client.resuming import OnRetry, Request, ResumingStream, is_followed
from argus_client.retry import RetryRule
from argus_client.stream import ResumePoint, total_rows
from argus_client.writing import Written, write_export
from argus_grpc.v1.export_pb2 import ExportHeader, ExportSummary, StreamAggregatesRequest

if TYPE_CHECKING:
    import pandas
    import polars


class Export:
    """The matching events of one query, or groups of them, to be read once: as an iterable of
    pyarrow.RecordBatch, or by one of the methods that write or collect them.

    Whatever reads it ends well only if the export is whole. When the server goes away it goes on
    where it was cut, by itself, as the client's retry_for_s says. Otherwise it raises: BrokenExport
    when the stream ended early or does not add up, or another of argus_client.errors. Leaving a
    loop early, an error, and close() call the export off.

    One that is followed has no end of its own: end_following() ends it.
    """

    def __init__(
        self,
        connection: Connection,
        request: Request,
        *,
        resume_from: ResumePoint | None,
        rule: RetryRule,
        on_retry: OnRetry | None,
    ) -> None:
        self._make_stream = partial(ResumingStream, connection, rule=rule, on_retry=on_retry)
        self._request = request
        self._stream = self._make_stream(request, resume_from)
        self._is_read = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Calls the export off, unless it has ended."""
        self._stream.close()

    def end_following(self) -> None:
        """Ends an export that is followed, whole: whoever reads it still gets what is under way, and then
        there is a summary. Returns at once; any thread may call it, and again."""
        self._stream.end_following()

    @property
    def row_name(self) -> str:
        """What its rows are: "event" or "group"."""
        return "group" if isinstance(self._request, StreamAggregatesRequest) else "event"

    @property
    def is_followed(self) -> bool:
        """Whether it goes on with new events, as they are committed."""
        return is_followed(self._request)

    @property
    def is_live(self) -> bool:
        """Whether an export that is followed has come to its end once: what comes now are new events."""
        return self._stream.is_live

    @property
    def request(self) -> Request:
        """What was asked for: without a token, and with the limit of the whole export."""
        return deepcopy(self._request)

    @property
    def resume_point(self) -> ResumePoint:
        """The place after the last batch that was read, or before the first.

        RuntimeError in a fresh export whose header has not come.
        """
        point = self._stream.resume_point
        if point is None:
            raise RuntimeError("the export has no resume point before its header has come")
        return point

    @property
    def header(self) -> ExportHeader:
        """What the export is: columns, watermark, exact total. Asking for it makes the call.

        Of one that is followed, watermark and total are those that it began with.
        """
        return self._stream.open()

    @property
    def schema(self) -> pa.Schema:
        """The schema of the batches; empty before the header has come."""
        return self._stream.schema

    @property
    def watermark(self) -> int:
        """The last that the server has named: the snapshot's, and of an export that is followed, how far
        it has come each time that there was nothing to send. 0 before the header has come."""
        return self._stream.watermark

    @property
    def total_rows(self) -> int:
        """How many events, or groups of them, the header says that there are."""
        return total_rows(self.header)

    @property
    def summary(self) -> ExportSummary:
        """How the export ended; RuntimeError before all of it has been read."""
        if self._stream.summary is None:
            raise RuntimeError("the export has no summary before it has been read to its end")
        return self._stream.summary

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        return (batch for batch in self.read() if batch is not None)

    def read(self) -> Iterator[pa.RecordBatch | None]:
        """As iterating over it; of an export that is followed, with a None each time that something else
        than events has come, which is every few seconds."""
        if self._is_read:
            raise RuntimeError("an export can be read once; ask the client for another")
        self._is_read = True
        return self._read()

    def go_on_from(self, request: Request, point: ResumePoint) -> None:
        """Makes this the rest of an earlier export of `request`. Only before it has been read."""
        if self._is_read:
            raise RuntimeError("an export can be read once; ask the client for another")
        self._stream.close()
        self._request = request
        self._stream = self._make_stream(request, point)

    def to_arrow(self) -> pa.Table:
        """All events, in memory. RuntimeError for an export that is followed."""
        self._refuse_endless()
        batches = list(self)
        return pa.Table.from_batches(batches, schema=self._stream.schema)

    def to_pandas(self) -> "pandas.DataFrame":
        """All events, in memory, as a pandas.DataFrame, with NULL as <NA>.

        dtypes: timestamp datetime64[ns, UTC], event_type category, integers Int64 (line_number Int32),
        ratios Float64, text string[pyarrow]. ImportError without pandas; else as to_arrow().
        """
        return frames.to_pandas(self.to_arrow())

    def to_polars(self) -> "polars.DataFrame":
        """All events, in memory, as a polars.DataFrame.

        dtypes: timestamp Datetime("ns", "UTC"), event_type Categorical, integers Int64 (line_number
        Int32), ratios Float64, text String. ImportError without polars; else as to_arrow().
        """
        return frames.to_polars(self.to_arrow())

    def to_duckdb(self, connection: frames.DuckDbConnection, table_name: str) -> int:
        """Appends the events to a table of a duckdb.DuckDBPyConnection, batch by batch, in one
        transaction: if this raises, nothing has been appended. Returns how many there were.

        The table is made where it is missing: timestamp TIMESTAMP_NS (in UTC), event_type and text
        VARCHAR, integers BIGINT (line_number INTEGER), ratios DOUBLE. ValueError for a table that has not
        these columns with these types; others may be there, and get NULL. The name is one identifier, as
        it is. The connection must not be in a transaction. RuntimeError for an export that is followed.
        """
        self._refuse_endless()
        with self:
            self._stream.open()
            return frames.to_duckdb(self, self._stream.schema, connection, table_name)

    def to_csv(
        self,
        target: str | os.PathLike[str] | BinaryIO,
        options: RenderOptions | None = None,
        *,
        compression: Compression | None = None,
        overwrite: bool = False,
    ) -> Written:
        """write() as CSV (RFC 4180)."""
        return self.write(target, "csv", options, compression=compression, overwrite=overwrite)

    def to_json(
        self,
        target: str | os.PathLike[str] | BinaryIO,
        options: RenderOptions | None = None,
        *,
        compression: Compression | None = None,
        overwrite: bool = False,
    ) -> Written:
        """write() as one JSON document (RFC 8259)."""
        return self.write(target, "json", options, compression=compression, overwrite=overwrite)

    def to_jsonl(
        self,
        target: str | os.PathLike[str] | BinaryIO,
        options: RenderOptions | None = None,
        *,
        compression: Compression | None = None,
        overwrite: bool = False,
    ) -> Written:
        """write() as JSON Lines."""
        return self.write(target, "jsonl", options, compression=compression, overwrite=overwrite)

    def to_parquet(self, target: str | os.PathLike[str] | BinaryIO, *, overwrite: bool = False) -> Written:
        """write() as Parquet. timestamp is TIMESTAMP(NANOS, UTC), event_type and all text are strings; the
        key argus_export of its metadata has what the export is, as JSON. DuckDB before 2.0 reads
        microseconds."""
        return self.write(target, "parquet", overwrite=overwrite)

    def to_arrow_file(self, target: str | os.PathLike[str] | BinaryIO, *, overwrite: bool = False) -> Written:
        """write() as an Arrow IPC file (Feather V2), to be mapped into memory: types as in the batches, and
        the key argus_export of its schema's metadata has what the export is, as JSON."""
        return self.write(target, "arrow", overwrite=overwrite)

    def write(
        self,
        target: str | os.PathLike[str] | BinaryIO,
        format: str | None = None,
        options: RenderOptions | None = None,
        *,
        compression: Compression | None = None,
        overwrite: bool = False,
        resume: bool = False,
        on_progress: Callable[[int], None] | None = None,
        on_notice: Callable[[str], None] | None = None,
    ) -> Written:
        """Writes the export to a path, or to a binary file, which is left open.

        A file appears at the path when it is whole and synced to disk, and never else, and
        PATH.manifest.json beside it; until then it is PATH.part, with a checkpoint beside it. Format
        (csv, json, jsonl, parquet, arrow) and compression (none, gzip, zstd; of a whole file, so only
        none for parquet and arrow) follow the path's ending when not given; without one they are csv
        and none.

        resume: go on where an earlier process was interrupted in writing the same export to this
            path. The file ends as if it had not been; parquet and arrow go on after the last group of
            events (122,880, or 16 MiB of them) that is on disk, and with the same pyarrow only. With
            nothing to resume it begins anew; a file that is whole already is left as it is.
        on_progress: called with the number of events rendered so far; while following also when there
            are no new ones, every few seconds.
        on_notice: called with a sentence on what is done about an earlier, unfinished export, and with
            one on events that the server no longer has.

        An export that is followed is written until end_following(), which ends the file whole. Each batch
        goes to the file as it comes; compressed, it waits for a block of 1 MiB to be full.

        Raises OutputError when the path cannot be written, or exists and overwrite is False;
        InvalidRequest when the interrupted export was asked for differently, and for one that is
        followed in a format that has an end of its own (all but csv and jsonl).
        """
        return write_export(
            self,
            target,
            format=format,
            options=options,
            compression=compression,
            overwrite=overwrite,
            resume=resume,
            on_progress=on_progress,
            on_notice=on_notice,
        )

    def _refuse_endless(self) -> None:
        if self.is_followed:
            raise RuntimeError("an export that is followed has no end to wait for; read it batch by batch")

    def _read(self) -> Iterator[pa.RecordBatch | None]:
        try:
            self._stream.open()
            while self._stream.summary is None:
                batch = self._stream.advance()
                if batch is not None or self.is_followed:
                    yield batch
        finally:
            self.close()
