"""What a renderer is, and what can be asked of one."""

from dataclasses import dataclass, fields
from typing import Literal, Protocol, get_args

import pyarrow as pa

from argus_grpc.v1.export_pb2 import ExportHeader, ExportSummary

TimePrecision = Literal["auto", "s", "ms", "us", "ns"]
HeaderStyle = Literal["names", "titles"]


@dataclass(frozen=True)
class RenderOptions:
    """How events are written. Raises ValueError for a value that is not listed.

    header: CSV only; the columns' names, or their human-readable titles.
    time_precision: CSV, JSON and JSON Lines; auto gives each timestamp 0, 3, 6 or 9 fractional digits,
        as it needs; the others give all the same 0, 3, 6 or 9, and cut finer digits off: toward the past.
    excel: CSV only; a byte order mark, CRLF, and a ' before text that Excel would take for a
        formula.
    metadata: CSV and JSON Lines; what the export is, before its first row. The others always have it.
    """

    header: HeaderStyle = "names"
    time_precision: TimePrecision = "auto"
    excel: bool = False
    metadata: bool = False

    def __post_init__(self) -> None:
        for field in fields(self):
            allowed = get_args(field.type)
            value = getattr(self, field.name)
            if allowed and value not in allowed:
                raise ValueError(f"{field.name}: {value!r} is not allowed; allowed: {', '.join(allowed)}")


class Renderer(Protocol):
    """Turns one export into the bytes of a file, a batch at a time.

    The file is begin(), then every render() in order, then end(). How the events are cut into
    batches does not show in it. A GroupRenderer hands rows out later than they come.

    A file that an earlier process left unfinished goes on with a new renderer: call begin() with
    the resumed stream's header (its first_row says how many rows are there) and drop what it
    returns. A GroupRenderer needs more, see there.
    """

    def begin(self, header: ExportHeader) -> bytes:
        """What comes before the first row."""
        ...

    def render(self, batch: pa.RecordBatch) -> bytes | pa.Buffer:
        """The rows of a batch that has the header's columns, in order, as bytes to write.

        The text of a batch must stay below 2 GiB. Raises ValueError for columns that are not the
        header's, a type that events do not have, and text that is not UTF-8.
        """
        ...

    def end(self, summary: ExportSummary) -> bytes:
        """What comes after the last row."""
        ...
