"""JSON Lines: an object a line."""

import pyarrow as pa

from argus_client.formats.metadata import compact_json, export_metadata
from argus_client.formats.objects import objects_text
from argus_client.formats.options import RenderOptions
from argus_grpc.v1.export_pb2 import ExportHeader, ExportSummary


class JsonLinesRenderer:
    """Renders JSON Lines. See Renderer."""

    def __init__(self, options: RenderOptions) -> None:
        self._options = options
        self._keys: list[str] = []

    def begin(self, header: ExportHeader) -> bytes:
        self._keys = [column.json_name for column in header.columns]
        if not self._options.metadata:
            return b""
        return (compact_json({"_metadata": export_metadata(header)}) + "\n").encode()

    def render(self, batch: pa.RecordBatch) -> bytes | pa.Buffer:
        if not batch.num_rows:
            return b""
        return objects_text(self._keys, batch, self._options.time_precision, "", "\n")

    def end(self, summary: ExportSummary) -> bytes:  # noqa: ARG002 - there is nothing to close
        return b""
