"""An export as the bytes of a file, before compression."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from argus_client.compression import Compression
from argus_client.errors import BrokenExport, OutputError
from argus_client.files import reporting_os_errors
from argus_client.formats import (
    BINARY_FORMATS,
    CsvRenderer,
    GroupRenderer,
    Renderer,
    RenderOptions,
    make_renderer,
    refuse_compression,
)
from argus_grpc.v1.export_pb2 import ExportHeader, ExportSummary

DEFAULT_FORMAT = "csv"


@dataclass(frozen=True)
class FileForm:
    """How a file is written: format, compression and the format's options.

    Raises ValueError for a compression that the format does not have.
    """

    format: str
    compression: Compression
    options: RenderOptions

    def __post_init__(self) -> None:
        refuse_compression(self.format, self.compression)

    def described(self) -> dict[str, Any]:
        """As values of JSON."""
        described = {"format": self.format, "compression": self.compression, **asdict(self.options)}
        if self.format in BINARY_FORMATS:
            # Another one may write the same rows as other bytes.
            described["pyarrow_version"] = pa.__version__
        return described


@dataclass(frozen=True)
class Earlier:
    """What there is already of the file: how many of its uncompressed bytes from its start, the events in
    them, and the cells that were guarded there. A format that is not compressed reads them in `path`."""

    path: Path
    size_bytes: int
    rows: int
    guarded_cells: int


class ReadExport(Protocol):
    """What rendering needs of an export."""

    @property
    def header(self) -> ExportHeader: ...
    @property
    def summary(self) -> ExportSummary: ...
    def read(self) -> Iterator[pa.RecordBatch | None]: ...


def render_export(
    export: ReadExport,
    form: FileForm,
    write: Callable[[bytes | pa.Buffer], None],
    *,
    earlier: Earlier | None = None,
    after_batch: Callable[[int, int], None] | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> int:
    """Writes the uncompressed bytes of the file, or of its rest where the export goes on.

    Returns how many cells were guarded, with those of what is there already. after_batch is called with
    that number and with how many events are in what has been given to `write`, on_progress with the
    number of events that have come: each time that a batch has been rendered, and while following each
    time that there is none.
    """
    batches = export.read()
    renderer = make_renderer(form.format, form.options)
    opening = renderer.begin(export.header)
    rows = export.header.first_row
    rows_there = earlier.rows if earlier is not None else rows
    if earlier is None:
        # What goes on from an earlier export's place as text is to be put behind that.
        if not rows or isinstance(renderer, GroupRenderer):
            write(opening)
    elif isinstance(renderer, GroupRenderer):
        _go_on_with(renderer, earlier)
    elif isinstance(renderer, CsvRenderer):
        renderer.guarded_cells = earlier.guarded_cells
    for batch in batches:
        if batch is not None:
            rows += batch.num_rows
            missing = min(batch.num_rows, max(0, rows - rows_there))
            write(_render(renderer, batch.slice(batch.num_rows - missing)))
        if after_batch is not None:
            after_batch(_guarded_cells(renderer), max(rows_there, rows - _waiting_rows(renderer)))
        if on_progress is not None:
            on_progress(rows)
    write(renderer.end(export.summary))
    return _guarded_cells(renderer)


def _go_on_with(renderer: GroupRenderer, earlier: Earlier) -> None:
    with reporting_os_errors(str(earlier.path)), earlier.path.open("rb") as file:
        try:
            renderer.go_on_with(file, earlier.size_bytes)
        except ValueError as error:
            raise OutputError(f"{earlier.path}: {error}; start anew without --resume") from error


def _render(renderer: Renderer, batch: pa.RecordBatch) -> bytes | pa.Buffer:
    try:
        return renderer.render(batch)
    except ValueError as error:
        raise BrokenExport(f"the server sent what cannot be written: {error}") from error


def _guarded_cells(renderer: Renderer) -> int:
    return renderer.guarded_cells if isinstance(renderer, CsvRenderer) else 0


def _waiting_rows(renderer: Renderer) -> int:
    return renderer.waiting_rows if isinstance(renderer, GroupRenderer) else 0
