"""One export, or groups of events, on its way into an HTTP answer: what its thread does."""

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import pyarrow as pa

from argus_client import ArgusClientError, Export, ExportClient
from argus_client.compression import Compressor
from argus_client.formats.metadata import metadata_fields
from argus_client.limiting import LimitedExport
from argus_client.rendering import FileForm, render_export
from argus_dashboard.handover import Chunk
from argus_dashboard.negotiation import ContentCoding

_LEAST_CHUNK_BYTES = 256 * 1024
_GZIP_WBITS = 31
# A quarter of level 6's time for a fifth more bytes: a coding that lasts as long as the way does.
_GZIP_LEVEL = 1


OnRetry: TypeAlias = Callable[[int, float, ArgusClientError], None]


@dataclass(frozen=True, kw_only=True)
class FileRequest:
    """What is written into an answer, and how.

    export: asks a client for it, without the limit.
    """

    export: Callable[[ExportClient, OnRetry], Export]
    limit: int | None
    form: FileForm


class Download:
    """Makes the bytes of one answer. `run` is for a thread of its own, `close` for any.

    client: for it alone; `run` closes it. coding: of the bytes on their way, beside the file's own
    compression.
    """

    def __init__(
        self,
        client: ExportClient,
        request: FileRequest,
        coding: ContentCoding,
        put: Callable[[Chunk], None],
        on_retry: OnRetry,
    ) -> None:
        self._form = request.form
        self._put = put
        self._on_retry = on_retry
        self._coder = zlib.compressobj(_GZIP_LEVEL, wbits=_GZIP_WBITS) if coding == "gzip" else None
        self._pending: list[Chunk] = []
        self._pending_bytes = 0
        self._has_put = False
        self.rows = 0
        """How many have been rendered."""
        self.size_bytes = 0
        """How many bytes of the file have been made, before the coding."""
        self._client = client
        self._export = request.export(self._client, self._before_retry)
        self._limited = LimitedExport(self._export, request.limit)

    @property
    def metadata(self) -> dict[str, str]:
        """What the export is, in snake case; there once the first chunk is."""
        remaining = self._limited.rows_remaining
        return {
            **dict(metadata_fields(self._limited.header)),
            "completeness": "TRUNCATED" if remaining else "COMPLETE",
            "rows_remaining": str(remaining),
        }

    @property
    def total_events(self) -> int:
        """How many the export has; there once the first chunk is."""
        return self._limited.header.total_events

    def close(self) -> None:
        """Calls the export off, also at the server; `run` then ends."""
        self._export.close()

    def run(self) -> None:
        """Puts the export's bytes, the first of them when its first batch is there. Raises an
        ArgusClientError, and what `put` raises."""
        with self._client, self._export:
            compressor = Compressor(self._form.compression)

            def write(data: bytes | pa.Buffer) -> None:
                for piece in compressor.compress(data):
                    self._add(piece)

            render_export(
                self._limited,
                self._form,
                write,
                after_batch=lambda *_: self._flush() if not self._has_put else None,
                on_progress=self._count,
            )
            self._add(compressor.finish())
            if self._coder is not None:
                self._add_coded(self._coder.flush())
            self._flush()

    def run_head(self) -> None:
        """Puts one empty chunk when all is checked and the export has begun. Raises as `run`."""
        with self._client, self._export:
            _ = self._export.header
            self._put(b"")

    def _count(self, rows: int) -> None:
        self.rows = rows

    def _before_retry(self, attempt: int, wait_s: float, error: ArgusClientError) -> None:
        # What has not begun is told at once, and may be asked for again.
        if not self._has_put:
            raise error
        self._on_retry(attempt, wait_s, error)

    def _add(self, data: bytes | memoryview) -> None:
        self.size_bytes += len(data)
        self._add_coded(data if self._coder is None else self._coder.compress(data))

    def _add_coded(self, data: Chunk) -> None:
        if data:
            self._pending.append(data)
            self._pending_bytes += len(data)
        if self._pending_bytes >= _LEAST_CHUNK_BYTES:
            self._flush()

    def _flush(self) -> None:
        chunk = self._pending[0] if len(self._pending) == 1 else b"".join(self._pending)
        self._pending, self._pending_bytes = [], 0
        self._has_put = True
        self._put(chunk)
