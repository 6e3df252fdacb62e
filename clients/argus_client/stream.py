"""The rules of an export's stream: nothing passes that does not add up, over however many calls."""

from dataclasses import dataclass

import google_crc32c
import pyarrow as pa
from google.protobuf.text_format import MessageToString

from argus_client.arrow_stream import read_arrow_stream
from argus_client.errors import BrokenExport
from argus_client.formats.metadata import export_metadata
from argus_client.schema import ARROW_TYPES
from argus_grpc.v1.aggregate_pb2 import AggregateBatch
from argus_grpc.v1.export_pb2 import (
    Column,
    EventBatch,
    ExportHeader,
    ExportSummary,
    Order,
    Progress,
    StreamAggregatesResponse,
    StreamEventsResponse,
)


def total_rows(header: ExportHeader) -> int:
    """How many events, or groups of them, an export has from its start to its end."""
    return header.aggregation.total_groups if header.HasField("aggregation") else header.total_events


@dataclass(frozen=True)
class ResumePoint:
    """A place in an export, to go on from."""

    token: str
    """The server's resume token."""
    rows: int
    """How many events, or groups, come before it, from the export's start."""


class StreamVerifier:
    """Takes an export's messages in order and gives out the events, or groups, in them, checked.

    The messages of a later call go on where those of the call before it broke off. Every method
    raises BrokenExport, saying what does not add up.

    follow: whether the export is followed: events may then come beyond those that the header counts, and
        the header of a later call may count more.
    grouped: whether it is of groups of events.
    """

    def __init__(
        self, resume_from: ResumePoint | None = None, *, follow: bool = False, grouped: bool = False
    ) -> None:
        self.header: ExportHeader | None = None
        """The first call's."""
        self.is_live = False
        """Whether the snapshot of an export that is followed is through."""
        self.summary: ExportSummary | None = None
        self.next_row = resume_from.rows if resume_from else 0
        self.resume_token = resume_from.token if resume_from else ""
        self._follow = self._call_follows = follow
        self._grouped = grouped
        self._row, self._rows = ("group", "groups") if grouped else ("event", "events")
        self._call_header: ExportHeader | None = None
        self.watermark = 0
        """The last that was named."""
        self.schema: pa.Schema = pa.schema([])
        """The schema of the batches, by the header's columns."""

    def begin_call(self, *, follow: bool = False) -> None:
        """The next message is the first of a new call, made with resume_token, that follows or does not:
        the one that ends an export that is followed does not."""
        self._call_header = None
        self._call_follows = follow
        # Without status OK after it, a summary says nothing.
        self.summary = None

    def accept(self, message: StreamEventsResponse | StreamAggregatesResponse) -> pa.RecordBatch | None:
        """The events, or groups, of the next message; None if it carries none."""
        kind = message.WhichOneof("payload")
        if kind is None:
            raise BrokenExport(
                f"the server sent a message of a kind this client does not know, {self.so_far}"
            )
        if self.summary is not None:
            raise BrokenExport(f"the server sent a {kind} after the summary")
        if kind == "header":
            self._accept_header(message.header)
        elif self._call_header is None:
            if kind == "progress" and self._grouped:
                return None
            raise BrokenExport(f"the stream begins with a {kind}, not with a header")
        elif kind == "batch":
            return self._accept_batch(message.batch, self._call_header)
        elif kind == "progress":
            self._accept_progress(message.progress)
        else:
            self._accept_summary(message.summary, self._call_header)
        return None

    def finish(self) -> ExportSummary:
        """The summary, once the stream has ended with status OK."""
        if self._call_header is None:
            raise BrokenExport("the stream ended before its header")
        if self._call_follows:
            raise BrokenExport(f"the server ended an export that was to be followed, {self.so_far}")
        if self.summary is None:
            raise BrokenExport(f"the stream ended without its summary, {self.so_far}")
        return self.summary

    @property
    def call_has_header(self) -> bool:
        """Whether the call's header has come."""
        return self._call_header is not None

    @property
    def so_far(self) -> str:
        """How far the export has come, for messages."""
        if self.header is None or self._follow:
            return f"after {self.next_row:,} {self._rows}"
        return f"after {self.next_row:,} of {total_rows(self.header):,} {self._rows}"

    def _accept_header(self, header: ExportHeader) -> None:
        if self._call_header is not None:
            raise BrokenExport(f"the server sent a second header, {self.so_far}")
        if self.header is not None:
            self._refuse_other_export(header, self.header)
        if header.first_row != self.next_row:
            raise BrokenExport(
                f"the stream begins at {self._row} {header.first_row:,} "
                f"where {self.next_row:,} should come next"
            )
        if header.HasField("aggregation") is not self._grouped:
            raise BrokenExport(f"the stream is not one of {self._rows}")
        if not header.columns:
            raise BrokenExport("the header names no columns")
        try:
            export_metadata(header)
        except ValueError as error:
            raise BrokenExport(f"the header has what there cannot be: {error}") from error
        if self.header is None:
            self.schema = pa.schema([(column.name, _arrow_type(column)) for column in header.columns])
            self.header = header
        self._call_header, self.resume_token = header, header.resume_token
        self.watermark = header.watermark

    def _refuse_other_export(self, header: ExportHeader, first: ExportHeader) -> None:
        before, now = _identity(first), _identity(header)
        if self._follow:
            self._refuse_shrunk("watermark", self.watermark, header.watermark)
            self._refuse_shrunk("total_events", max(first.total_events, self.next_row), header.total_events)
            del before["watermark"], before["total_events"]
        for name, value in before.items():
            if now[name] != value:
                raise BrokenExport(
                    f"the server goes on with another export, {self.so_far}: "
                    f"its {name} was {value}, and is {now[name]} now"
                )

    def _refuse_shrunk(self, name: str, before: int, now: int) -> None:
        if now < before:
            raise BrokenExport(
                f"the server goes back behind what it has sent, {self.so_far}: "
                f"its {name} was {before:,} at least, and is {now:,} now"
            )

    def _accept_batch(self, batch: EventBatch | AggregateBatch, header: ExportHeader) -> pa.RecordBatch:
        if batch.first_row != self.next_row:
            raise BrokenExport(
                f"{self._rows} are missing or repeated: a batch begins at {self._row} {batch.first_row:,} "
                f"where {self.next_row:,} should come next"
            )
        if batch.WhichOneof("payload") != "arrow":
            raise BrokenExport(
                f"the batch at {self._row} {self.next_row:,} is not in the Arrow encoding asked for"
            )
        payload = batch.arrow  # copied out each time
        if google_crc32c.value(payload) != batch.crc32c:
            raise BrokenExport(f"the batch at {self._row} {self.next_row:,} was damaged: its CRC-32C differs")
        events = self._decode(payload)
        if not events.num_rows == batch.row_count > 0:
            raise BrokenExport(
                f"the batch at {self._row} {self.next_row:,} says it has {batch.row_count:,} {self._rows}, "
                f"but has {events.num_rows:,}"
            )
        if not self._call_follows and self.next_row + batch.row_count > total_rows(header):
            raise BrokenExport(f"more {self._rows} came than the {total_rows(header):,} that the header says")
        self.next_row += batch.row_count
        self.resume_token = batch.resume_token
        return events

    def _decode(self, payload: bytes) -> pa.RecordBatch:
        try:
            batches = read_arrow_stream(payload)
        except ValueError as error:
            raise BrokenExport(f"the batch at {self._row} {self.next_row:,} {error}") from error
        if len(batches) != 1:
            raise BrokenExport(
                f"the batch at {self._row} {self.next_row:,} has {len(batches)} record batches, not 1"
            )
        if not batches[0].schema.equals(self.schema):
            raise BrokenExport(
                f"the batch at {self._row} {self.next_row:,} has other columns than the header says"
            )
        return batches[0]

    def _accept_progress(self, progress: Progress) -> None:
        if progress.rows_sent != self.next_row:
            raise BrokenExport(
                f"the server says it has sent {progress.rows_sent:,} {self._rows}, {self.so_far}"
            )
        if self._call_follows:
            self._refuse_shrunk("watermark", self.watermark, progress.watermark)
            self.watermark = progress.watermark
            self.is_live = True
        self.resume_token = progress.resume_token

    def _accept_summary(self, summary: ExportSummary, header: ExportHeader) -> None:
        if self._call_follows:
            raise BrokenExport(f"the server sent a summary of an export that is followed, {self.so_far}")
        for said_by, total in (("summary", summary.total_rows), ("header", total_rows(header))):
            if total != self.next_row:
                raise BrokenExport(f"{self.next_row:,} {self._rows} came, but the {said_by} says {total:,}")
        if summary.watermark != header.watermark:
            raise BrokenExport(
                f"the summary's watermark is {summary.watermark:,}, but the header's {header.watermark:,}"
            )
        is_truncated = summary.completeness == ExportSummary.COMPLETENESS_TRUNCATED
        if is_truncated is not (summary.rows_remaining > 0) or (
            not is_truncated and summary.completeness != ExportSummary.COMPLETENESS_COMPLETE
        ):
            known = summary.completeness in ExportSummary.Completeness.values()
            name = ExportSummary.Completeness.Name(summary.completeness) if known else summary.completeness
            raise BrokenExport(
                f"the summary says {name} with {summary.rows_remaining:,} {self._rows} remaining"
            )
        self.summary = summary


def _identity(header: ExportHeader) -> dict[str, str]:
    """What a header says of the whole export: the same in every call's."""
    return {
        "store_id": repr(header.store_id),
        "export_id": repr(header.export_id),
        "exported_at": header.exported_at.ToJsonString(),
        "watermark": f"{header.watermark:,}",
        "total_events": f"{header.total_events:,}",
        "order": Order.Name(header.order) if header.order in Order.values() else str(header.order),
        # Names and types alone: a newer server may describe them in other words.
        "columns": ", ".join(f"{column.name} {_arrow_type(column)}" for column in header.columns),
        "redacted_columns": ", ".join(header.redacted_columns) or "none",
        "query": MessageToString(header.query, as_one_line=True) or "empty",
        "aggregation": MessageToString(header.aggregation, as_one_line=True) or "none",
    }


def _arrow_type(column: Column) -> pa.DataType:
    if column.type not in ARROW_TYPES:
        raise BrokenExport(f"column {column.name} is of a type that this client does not know")
    return ARROW_TYPES[column.type]
