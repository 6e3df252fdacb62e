"""An export as the bytes of a file, before compression."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import pyarrow as pa

from argus_client.compression import Compression
from argus_client.errors import BrokenExport
from argus_client.formats import CsvRenderer, Renderer, RenderOptions, make_renderer
from argus_grpc.v1.export_pb2 import ExportHeader, ExportSummary

DEFAULT_FORMAT = "csv"


@dataclass(frozen=True)
class FileForm:
    """How a file is written: format, compression and the format's options."""

    format: str
    compression: Compression
    options: RenderOptions

    def described(self) -> dict[str, Any]:
        """As values of JSON."""
        return {"format": self.format, "compression": self.compression, **asdict(self.options)}


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
    is_begun: bool = False,
    guarded_cells: int = 0,
    after_batch: Callable[[int], None] | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> int:
    """Writes the uncompressed bytes of the file, or of its rest where the export goes on.

    is_begun: whether what comes before the first event is there already.
    guarded_cells: how many cells were guarded in what is there already; returned with those that
    came. after_batch is called with their number, on_progress with the number of events, each time
    a batch has been given to `write`, and while following each time that there is none.
    """
    batches = export.read()
    renderer = make_renderer(form.format, form.options)
    if isinstance(renderer, CsvRenderer):
        renderer.guarded_cells = guarded_cells
    opening = renderer.begin(export.header)
    rows = export.header.first_row
    if not rows and not is_begun:
        write(opening)
    for batch in batches:
        if batch is not None:
            write(_render(renderer, batch))
            rows += batch.num_rows
        if after_batch is not None:
            after_batch(_guarded_cells(renderer))
        if on_progress is not None:
            on_progress(rows)
    write(renderer.end(export.summary))
    return _guarded_cells(renderer)


def _render(renderer: Renderer, batch: pa.RecordBatch) -> bytes | pa.Buffer:
    try:
        return renderer.render(batch)
    except ValueError as error:
        raise BrokenExport(f"the server sent what cannot be written: {error}") from error


def _guarded_cells(renderer: Renderer) -> int:
    return renderer.guarded_cells if isinstance(renderer, CsvRenderer) else 0
