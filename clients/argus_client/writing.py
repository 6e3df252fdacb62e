"""An export, written: into a file that can be gone on with, or into a stream."""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import pyarrow as pa

from argus_client.compression import Compression, Compressor
from argus_client.errors import OutputError, Violation
from argus_client.files import Output, read_ending, reporting_os_errors
from argus_client.formats import RenderOptions
from argus_client.query import invalid_request
from argus_client.rendering import DEFAULT_FORMAT, FileForm, render_export
from argus_client.resumable import FileExport, Ledger, tell_removed
from argus_grpc.v1.export_pb2 import ExportSummary

if TYPE_CHECKING:
    from argus_client.export import Export


@dataclass(frozen=True)
class Written:
    """What was written: how many events, or groups of them, and bytes, how the export ended, and the
    cells that RenderOptions.excel changed. Of a file that had been written before, its manifest says
    it, which has no continuation token."""

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
    format: str | None = None,
    options: RenderOptions | None = None,
    compression: Compression | None = None,
    overwrite: bool = False,
    resume: bool = False,
    last: str | None = None,
    ledger: Ledger | None = None,
    on_progress: Callable[[int], None] | None = None,
    on_notice: Callable[[str], None] | None = None,
) -> Written:
    """Export.write.

    last: the window up to now that the query's start came from: an interrupted export that was
        asked for with the same is gone on with as it was.
    ledger: told of what happens to the export.
    """
    options = options or RenderOptions()
    if not isinstance(target, str | os.PathLike):
        _refuse_to_resume(resume, target)
        name = "standard output" if target is sys.stdout.buffer else getattr(target, "name", target)
        form = FileForm(format or DEFAULT_FORMAT, compression or "none", options)
        _refuse_to_follow(export, form)
        with export:
            return _write_stream(export, Output(target, str(name)), form, ledger, on_progress, on_notice)
    path = Path(target)
    format_of_path, compression_of_path = read_ending(path)
    form = FileForm(format or format_of_path or DEFAULT_FORMAT, compression or compression_of_path, options)
    _refuse_to_follow(export, form)
    with export:
        if path.exists() and not path.is_file() and not path.is_dir():
            _refuse_to_resume(resume, target)
            with reporting_os_errors(str(path)):
                device = path.open("wb", buffering=0)
            with device:
                return _write_stream(export, Output(device, str(path)), form, ledger, on_progress, on_notice)
        file_export = FileExport(
            export,
            path,
            form,
            overwrite=overwrite,
            last=last,
            ledger=ledger,
            on_progress=on_progress,
            on_notice=on_notice,
        )
        manifest, summary = file_export.write(resume=resume)
    return Written(
        events=manifest["rows"],
        size_bytes=manifest["bytes"],
        summary=summary,
        guarded_cells=manifest["guardedCells"],
    )


def _refuse_to_resume(resume: bool, target: object) -> None:
    if resume:
        raise OutputError(f"{target} cannot be gone on with; to resume takes the path of a file")


def _refuse_to_follow(export: "Export", form: FileForm) -> None:
    if export.is_followed and form.format == "json":
        what = (
            "'json' is not allowed for an export that is followed: it says how many events it has, and ends"
        )
        raise invalid_request((Violation("format", f"{what}; allowed: csv, jsonl"),))


def _write_stream(
    export: "Export",
    output: Output,
    form: FileForm,
    ledger: Ledger | None,
    on_progress: Callable[[int], None] | None,
    on_notice: Callable[[str], None] | None,
) -> Written:
    header = export.header
    is_resumed = header.first_row > 0
    if ledger is not None:
        ledger.begins(header, is_resumed=is_resumed)
    if on_notice is not None and not is_resumed and (notice := tell_removed(header)):
        on_notice(notice)
    compressor = Compressor(form.compression)

    def write(data: bytes | pa.Buffer) -> None:
        for piece in compressor.compress(data):
            output.write(piece)

    def send_now(_guarded_cells: int) -> None:
        output.flush()
        output.check_reader()

    guarded_cells = render_export(
        export,
        form,
        write,
        after_batch=send_now if export.is_followed else None,
        on_progress=on_progress,
    )
    output.write(compressor.finish())
    output.flush()
    if ledger is not None:
        ledger.was_streamed(export.header, export.summary)
    return Written(
        events=export.summary.total_rows,
        size_bytes=output.bytes_written,
        summary=export.summary,
        guarded_cells=guarded_cells,
    )
