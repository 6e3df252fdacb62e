"""An export, written: rendered, compressed, into a file or a stream."""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import pyarrow as pa

from argus_client.errors import BrokenExport
from argus_client.files import Compression, Output, make_compressor, read_ending, whole_file
from argus_client.formats import CsvRenderer, Renderer, RenderOptions, make_renderer
from argus_grpc.v1.export_pb2 import ExportSummary

if TYPE_CHECKING:
    from argus_client.export import Export

DEFAULT_FORMAT = "csv"


@dataclass(frozen=True)
class Written:
    """What was written: how many events and bytes, how the export ended, and the cells that
    RenderOptions.excel changed."""

    events: int
    size_bytes: int
    summary: ExportSummary
    guarded_cells: int

    @property
    def is_truncated(self) -> bool:
        """Whether the limit cut: summary.rows_remaining more events match."""
        return self.summary.completeness == ExportSummary.COMPLETENESS_TRUNCATED


def write_export(
    export: "Export",
    target: str | os.PathLike[str] | BinaryIO,
    *,
    format: str | None,
    options: RenderOptions | None,
    compression: Compression | None,
    overwrite: bool,
    on_progress: Callable[[int], None] | None,
) -> Written:
    """Export.write."""
    if isinstance(target, str | os.PathLike):
        path = Path(target)
        format_of_path, compression_of_path = read_ending(path)
        format, compression = format or format_of_path, compression or compression_of_path
        with export, whole_file(path, overwrite=overwrite) as file:
            return _write(export, Output(file, str(path)), format, options, compression, on_progress)
    with export:
        name = "standard output" if target is sys.stdout.buffer else getattr(target, "name", target)
        return _write(export, Output(target, str(name)), format, options, compression, on_progress)


def _write(
    export: "Export",
    output: Output,
    format: str | None,
    options: RenderOptions | None,
    compression: Compression | None,
    on_progress: Callable[[int], None] | None,
) -> Written:
    batches = iter(export)
    renderer = make_renderer(format or DEFAULT_FORMAT, options or RenderOptions())
    compressor = make_compressor(compression or "none")
    output.write(compressor.compress(renderer.begin(export.header)))
    rows = 0
    for batch in batches:
        output.write(compressor.compress(_render(renderer, batch)))
        rows += batch.num_rows
        if on_progress is not None:
            on_progress(rows)
    output.write(compressor.compress(renderer.end(export.summary)))
    output.write(compressor.flush())
    output.flush()
    return Written(
        events=export.summary.total_rows,
        size_bytes=output.bytes_written,
        summary=export.summary,
        guarded_cells=renderer.guarded_cells if isinstance(renderer, CsvRenderer) else 0,
    )


def _render(renderer: Renderer, batch: pa.RecordBatch) -> bytes | pa.Buffer:
    try:
        return renderer.render(batch)
    except ValueError as error:
        raise BrokenExport(f"the server sent what cannot be written: {error}") from error
