"""One export, as a Python user reads or writes it."""

import os
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import BinaryIO, Self

import pyarrow as pa

from argus_client.connection import Connection, MessageStream
from argus_client.errors import ServerUnavailable
from argus_client.files import Compression
from argus_client.formats import RenderOptions
from argus_client.stream import StreamVerifier
from argus_client.writing import Written, write_export
from argus_grpc.v1.export_pb2 import ExportHeader, ExportSummary, StreamEventsRequest, StreamEventsResponse


class Export:
    """The matching events of one query, to be read once: as an iterable of pyarrow.RecordBatch, or
    by one of the methods that write or collect them.

    Whatever reads it ends well only if the export is whole. Otherwise it raises: BrokenExport when
    the stream ended early or does not add up, or another of argus_client.errors. Leaving a loop
    early, an error, and close() call the export off.
    """

    def __init__(self, connection: Connection, request: StreamEventsRequest) -> None:
        self._connection = connection
        self._request = request
        self._verifier = StreamVerifier()
        self._call: MessageStream[StreamEventsResponse] | None = None
        self._messages: Iterator[StreamEventsResponse] | None = None
        self._is_read = False
        self._is_closed = False
        self._summary: ExportSummary | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Calls the export off, unless it has ended."""
        self._is_closed = True
        if self._call is not None:
            self._call.cancel()

    @property
    def header(self) -> ExportHeader:
        """What the export is: columns, watermark, exact total. Asking for it makes the call."""
        return self._open()

    @property
    def summary(self) -> ExportSummary:
        """How the export ended; RuntimeError before all of it has been read."""
        if self._summary is None:
            raise RuntimeError("the export has no summary before it has been read to its end")
        return self._summary

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        if self._is_read:
            raise RuntimeError("an export can be read once; ask the client for another")
        self._is_read = True
        return self._batches()

    def to_arrow(self) -> pa.Table:
        """All events, in memory."""
        batches = list(self)
        return pa.Table.from_batches(batches, schema=self._verifier.schema)

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

    def write(
        self,
        target: str | os.PathLike[str] | BinaryIO,
        format: str | None = None,
        options: RenderOptions | None = None,
        *,
        compression: Compression | None = None,
        overwrite: bool = False,
        on_progress: Callable[[int], None] | None = None,
    ) -> Written:
        """Writes the export to a path, or to a binary file, which is left open.

        A file appears at the path when it is whole and synced to disk, and never else; until then
        it is PATH.part. Format (csv, json, jsonl) and compression (none, gzip, zstd) follow the
        path's ending when not given; without one they are csv and none. on_progress is called
        with the number of events written so far.

        Raises OutputError when the path cannot be written, or exists and overwrite is False.
        """
        return write_export(
            self,
            target,
            format=format,
            options=options,
            compression=compression,
            overwrite=overwrite,
            on_progress=on_progress,
        )

    def _open(self) -> ExportHeader:
        """Makes the call and reads as far as the header, once."""
        if self._messages is None:
            if self._is_closed:
                raise RuntimeError("the export is closed")
            self._call = self._connection.exports.StreamEvents(self._request)
            self._messages = self._connection.messages(self._call)
            try:
                first = next(self._messages, None)
                if first is None:
                    self._verifier.finish()
                else:
                    self._verifier.accept(first)
            except BaseException:
                self.close()
                raise
        if self._verifier.header is None:
            raise RuntimeError("the export failed before its header came")
        return self._verifier.header

    def _batches(self) -> Iterator[pa.RecordBatch]:
        try:
            self._open()
            assert self._messages is not None
            for message in self._messages:
                batch = self._verifier.accept(message)
                if batch is not None:
                    yield batch
            self._summary = self._verifier.finish()
        except ServerUnavailable as error:
            if self._verifier.header is None:
                raise
            raise ServerUnavailable(f"{error}, {self._verifier.so_far}") from error
        finally:
            self.close()
