"""The client of one Argus server."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, Self

import pyarrow as pa

from argus_client.connection import Connection
from argus_client.errors import Violation
from argus_client.export import Export
from argus_client.ingest import IngestResult, ingest_arrow
from argus_client.query import EventQuery, invalid_request
from argus_client.resuming import OnRetry
from argus_client.retry import DEFAULT_RETRY_FOR_S, Backoff, RetryRule
from argus_client.stream import ResumePoint
from argus_grpc.v1.event_pb2 import Event, Events
from argus_grpc.v1.export_pb2 import (
    Column,
    Encoding,
    ListColumnsRequest,
    Order,
    PlanExportRequest,
    PlanExportResponse,
    StreamEventsRequest,
)
from argus_grpc.v1.ingest_pb2 import IngestEventsRequest, IngestEventsResponse

DEFAULT_TARGET = "localhost:50051"

_ORDERS: Mapping[str, "Order.ValueType"] = {"time": Order.ORDER_TIME, "arrival": Order.ORDER_ARRIVAL}
_DEFAULT_BATCH_BYTES = 2 * 1024 * 1024
_BATCH_BYTES = range(16 * 1024, _DEFAULT_BATCH_BYTES + 1)


class ExportClient:
    """Talks to the Argus server at `target`, HOST:PORT. Close it, or use it in a `with` block.

    It connects when it is first needed. Every method raises the errors of argus_client.errors.

    retry_for_s: an export that has begun goes on by itself when the server goes away, trying again
        for so many seconds without progress; 0: it fails at once. One that the server asks to come
        back later is tried again even before it has begun.
    backoff: how long it waits between these tries.
    """

    def __init__(
        self,
        target: str = DEFAULT_TARGET,
        *,
        retry_for_s: float = DEFAULT_RETRY_FOR_S,
        backoff: Backoff | None = None,
    ) -> None:
        if not retry_for_s >= 0:
            raise _not_allowed("retry_for_s", retry_for_s, "0 (never) or more seconds")
        self._rule = RetryRule(retry_for_s, backoff or Backoff())
        self._connection = Connection(target)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connection; exports that are under way are cancelled."""
        self._connection.close()

    def export(
        self,
        query: EventQuery | None = None,
        *,
        columns: str | Iterable[str] = (),
        limit: int | None = None,
        order: Literal["time", "arrival"] = "time",
        follow: bool = False,
        max_batch_bytes: int | None = None,
        resume_from: ResumePoint | None = None,
        on_retry: OnRetry | None = None,
    ) -> Export:
        """The matching events; the call is made when the first of them, or the header, is asked for.

        columns: names, in the order wanted; none gives the default columns, "all" every one.
        limit: at most this many events, at least 1; None is no limit. A limit that cuts shows in
            the summary.
        order: by (timestamp, sequence), or in the order of arrival.
        follow: after these events, go on with new ones as they are committed, in the order of arrival,
            until end_following(). Not with a limit.
        max_batch_bytes: about how many bytes of events come at once, 16 KiB to 2 MiB; None is 2 MiB,
            whose rendering costs least for each event.
        resume_from: the place in an export with the same query, columns and order that this one
            goes on from; its header then has first_row == resume_from.rows. The limit counts from
            that export's start.
        on_retry: called before each wait to try again: which try it is since the last progress,
            from 1, the seconds until then, and the error.
        """
        if order not in _ORDERS:
            raise _not_allowed("order", order, " and ".join(_ORDERS))
        if limit is not None and limit < 1:
            raise _not_allowed("limit", limit, "1 or more; None for no limit")
        if limit is not None and follow:
            raise _not_allowed("limit", limit, "None for an export that is followed")
        if limit is not None and resume_from is not None and limit < resume_from.rows:
            raise _not_allowed("limit", limit, f"{resume_from.rows} or more, the events before resume_from")
        if max_batch_bytes is not None and max_batch_bytes not in _BATCH_BYTES:
            allowed = f"{_BATCH_BYTES.start} to {_BATCH_BYTES.stop - 1}; None for 2 MiB"
            raise _not_allowed("max_batch_bytes", max_batch_bytes, allowed)
        request = StreamEventsRequest(
            query=(query or EventQuery()).to_message(),
            columns=_to_names(columns),
            encoding=Encoding.ENCODING_ARROW,
            limit=limit or 0,
            order=_ORDERS[order],
            follow=follow,
            max_batch_bytes=max_batch_bytes or _DEFAULT_BATCH_BYTES,
        )
        return Export(self._connection, request, resume_from=resume_from, rule=self._rule, on_retry=on_retry)

    def plan(
        self, query: EventQuery | None = None, *, columns: str | Iterable[str] = ()
    ) -> PlanExportResponse:
        """What an export would hold: exact count, time extent, estimated sizes, watermark."""
        request = PlanExportRequest(query=(query or EventQuery()).to_message(), columns=_to_names(columns))
        return self._connection.call(self._connection.exports.PlanExport, request)

    def columns(self) -> tuple[Column, ...]:
        """All columns that this caller may see, in the order of the schema."""
        return tuple(
            self._connection.call(self._connection.exports.ListColumns, ListColumnsRequest()).columns
        )

    def ingest_events(self, events: Sequence[Event]) -> IngestEventsResponse:
        """Stores the events, all or none; when this returns they are committed to disk.

        At least one event, and together less than 4 MiB. Returns their sequence numbers.
        """
        request = IngestEventsRequest(rows=Events(events=events))
        return self._connection.call(self._connection.ingests.IngestEvents, request)

    def ingest_arrow(self, events: pa.RecordBatch | pa.Table) -> IngestResult:
        """Stores the rows; when this returns they are committed to disk.

        `events`, of any number of rows, has columns of the schema by name, in any order; NULL and
        columns that are missing are unset, `sequence` has to be. An export's batches fit; so do
        timestamps of any unit with a time zone, integers that fit, and text in dictionaries.

        What is larger than about 1 MiB goes in several requests, one after the other, so that sequences
        follow the order of rows. Each is stored whole or not at all; when this raises, those before stay
        stored. InvalidRequest names the row, counted from 0 through all of `events`.
        """

        def send(stream: bytes) -> IngestEventsResponse:
            return self._connection.call(
                self._connection.ingests.IngestEvents, IngestEventsRequest(arrow=stream)
            )

        return ingest_arrow(events, send)


def _to_names(columns: str | Iterable[str]) -> tuple[str, ...]:
    # A lone string would else be taken as its letters.
    return (columns,) if isinstance(columns, str) else tuple(columns)


def _not_allowed(field: str, value: object, allowed: str) -> Exception:
    return invalid_request((Violation(field, f"{value!r} is not allowed; allowed: {allowed}"),))
