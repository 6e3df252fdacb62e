"""The first rows of an export, with how many remain known before the first of them."""

from collections.abc import Iterator

import pyarrow as pa

from argus_client.export import Export
from argus_grpc.v1.export_pb2 import ExportHeader, ExportSummary


class LimitedExport:
    """At most `limit` events of an export, or groups of them, which has no limit itself; None: all of them.

    The server counts a limit in before it says how many there are, so only an export without one knows,
    when it begins, whether it will be cut. What is rendered of events is what an export with that limit
    gives; of groups, `totalGroups` says how many there are, and not how many the limit lets through.
    """

    def __init__(self, export: Export, limit: int | None) -> None:
        self._export = export
        self._limit = limit
        self._is_read = False

    @property
    def header(self) -> ExportHeader:
        """Asking for it makes the call."""
        header = ExportHeader()
        header.CopyFrom(self._export.header)
        if not header.HasField("aggregation"):
            header.total_events = self._row_count
        return header

    @property
    def rows_remaining(self) -> int:
        """How many more there are than the limit lets through."""
        return self._export.total_rows - self._row_count

    @property
    def _row_count(self) -> int:
        total = self._export.total_rows
        return total if self._limit is None else min(total, self._limit)

    @property
    def summary(self) -> ExportSummary:
        """How the export ended; RuntimeError before all of it has been read."""
        if not self.rows_remaining:
            return self._export.summary
        if not self._is_read:
            raise RuntimeError("the export has no summary before it has been read to its end")
        return ExportSummary(
            completeness=ExportSummary.COMPLETENESS_TRUNCATED,
            total_rows=self._row_count,
            watermark=self._export.header.watermark,
            rows_remaining=self.rows_remaining,
        )

    def read(self) -> Iterator[pa.RecordBatch | None]:
        """The batches, the last of them cut. Calls off what would come after."""
        if not self.rows_remaining:
            yield from self._export.read()
            return
        rows_left = self._row_count
        for batch in self._export:
            yield batch.slice(0, rows_left)
            rows_left -= min(rows_left, batch.num_rows)
            if not rows_left:
                break
        self._is_read = True
        self._export.close()
