"""JSON: one object with what the export is and, an event a line, the events."""

import pyarrow as pa

from argus_client.formats.metadata import compact_json, export_metadata
from argus_client.formats.objects import objects_text
from argus_client.formats.options import RenderOptions
from argus_grpc.v1.export_pb2 import ExportHeader, ExportSummary

_OPENING = ("exportedAt", "query", "totalEvents", "groupBy", "measures", "totalGroups")


class JsonRenderer:
    """Renders JSON. See Renderer."""

    def __init__(self, options: RenderOptions) -> None:
        self._precision = options.time_precision
        self._keys: list[str] = []
        self._has_rows = False

    def begin(self, header: ExportHeader) -> bytes:
        self._keys = [column.json_name for column in header.columns]
        self._has_rows = header.first_row > 0
        metadata = export_metadata(header)
        opening = compact_json({key: metadata[key] for key in _OPENING if key in metadata})
        return f'{opening[:-1]},"events":['.encode()

    def render(self, batch: pa.RecordBatch) -> bytes | pa.Buffer:
        if not batch.num_rows:
            return b""
        text = objects_text(self._keys, batch, self._precision, ",\n", "")
        if not self._has_rows:
            self._has_rows = True
            return text.slice(len(","))
        return text

    def end(self, summary: ExportSummary) -> bytes:  # noqa: ARG002 - totalEvents is in the header
        return b"\n]}\n" if self._has_rows else b"]}\n"
