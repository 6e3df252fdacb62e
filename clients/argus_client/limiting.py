"""The first events of an export, with how many remain known before the first of them."""

from collections.abc import Iterator

import pyarrow as pa

from argus_client.export import Export
from argus_grpc.v1.export_pb2 import ExportHeader, ExportSummary


class LimitedExport:
    """At most `limit` events of an export, which has no limit itself; None: all of them.

    The server counts a limit in before it says how many events there are, so only an export without
    one knows, when it begins, whether it will be cut. What is rendered of it is what an export with that
    limit gives.
    """

    def __init__(self, export: Export, limit: int | None) -> None:
        self._export = export
        self._limit = limit
        self._is_read = False

    @property
    def header(self) -> ExportHeader:
        """As an export with the limit has it. Asking for it makes the call."""
        header = ExportHeader()
        header.CopyFrom(self._export.header)
        header.total_events -= self.rows_remaining
        return header

    @property
    def rows_remaining(self) -> int:
        """How many more events match than the limit lets through."""
        total = self._export.header.total_events
        return 0 if self._limit is None else max(0, total - self._limit)

    @property
    def summary(self) -> ExportSummary:
        """How the export ended; RuntimeError before all of it has been read."""
        if not self.rows_remaining:
            return self._export.summary
        if not self._is_read:
            raise RuntimeError("the export has no summary before it has been read to its end")
        return ExportSummary(
            completeness=ExportSummary.COMPLETENESS_TRUNCATED,
            total_rows=self.header.total_events,
            watermark=self.header.watermark,
            rows_remaining=self.rows_remaining,
        )

    def read(self) -> Iterator[pa.RecordBatch | None]:
        """The batches, the last of them cut. Calls off what would come after."""
        if not self.rows_remaining:
            yield from self._export.read()
            return
        rows_left = self.header.total_events
        for batch in self._export:
            yield batch.slice(0, rows_left)
            rows_left -= min(rows_left, batch.num_rows)
            if not rows_left:
                break
        self._is_read = True
        self._export.close()
