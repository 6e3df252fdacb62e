"""GET /api/follow: new events as they are stored, as server-sent events (HTML, section 9.2)."""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial

import structlog
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from argus_client import ArgusClientError, EventQuery, Export, ExportClient, ResumePoint
from argus_client.formats.objects import objects_text
from argus_dashboard.api import PLAN_PARAMETERS
from argus_dashboard.callers import caller_of
from argus_dashboard.gateway import Gateway
from argus_dashboard.handover import Chunk, Handover
from argus_dashboard.parameters import Values, parse_query, shown
from argus_dashboard.problems import BadParameter, bad_parameters
from argus_dashboard.query_parameters import event_query
from argus_dashboard.streaming import StreamedAnswer, unless_gone

FOLLOW_PARAMETERS = PLAN_PARAMETERS

_HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    # A proxy that gathers an answer would hold events back.
    "X-Accel-Buffering": "no",
}
_RECONNECT_MS = 2_000
_BATCH_BYTES = 256 * 1024
_PLACE = re.compile(
    r"(?P<start>-?[0-9]{1,19})?\.(?P<after>[0-9]{1,19})\.(?P<rows>[0-9]{1,19})\.(?P<token>[\w-]+)"
)

_log = structlog.get_logger()


@dataclass(frozen=True)
class Place:
    """Where a stream of events is to go on: what its `id` fields say.

    start_ns, after_sequence: the query's that it began with, which the server asks for again.
    """

    start_ns: int | None
    after_sequence: int
    point: ResumePoint

    def __str__(self) -> str:
        start = "" if self.start_ns is None else str(self.start_ns)
        return f"{start}.{self.after_sequence}.{self.point.rows}.{self.point.token}"

    @classmethod
    def parse(cls, text: str) -> "Place":
        """Raises a Problem, 400."""
        found = _PLACE.fullmatch(text)
        if not found:
            message = f"{shown(text)} is not allowed; allowed: the id of an event of this stream"
            error = BadParameter("Last-Event-ID", text, message, "the id of an event of this stream")
            raise bad_parameters([error])
        start = int(found["start"]) if found["start"] else None
        return cls(start, int(found["after"]), ResumePoint(found["token"], int(found["rows"])))


class FollowEndpoint:
    """GET and HEAD /api/follow."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        gateway: Gateway = request.app.state.gateway
        values = parse_query(scope["query_string"], FOLLOW_PARAMETERS)
        query = event_query(values)
        # Of a fresh one, browsers send an empty one, or none.
        last_id = request.headers.get("last-event-id")
        place = Place.parse(last_id) if last_id else None
        caller = caller_of(request)
        await gateway.make_sure(caller)
        with gateway.follows.take(caller), values.naming_violations(), gateway.serving(caller):
            follower = Follower(await gateway.connect(caller), query, values, place)
            answer = StreamedAnswer(scope, send, gateway.config.stall_timeout_s)
            waits = [gateway.is_stopping.wait]
            if caller.session is not None:
                waits.append(partial(request.app.state.sessions.wait_until_over, caller.session))
            is_head = request.method == "HEAD"
            await unless_gone(receive, _follow(gateway, follower, answer, waits, is_head=is_head))


async def _follow(
    gateway: Gateway,
    follower: "Follower",
    answer: StreamedAnswer,
    waits: Iterable[Callable[[], Awaitable[object]]],
    *,
    is_head: bool,
) -> None:
    """waits: when one of them is over, the stream ends."""
    handover = Handover()
    ends = [asyncio.ensure_future(wait()) for wait in waits]
    try:
        with handover.produced_by(
            gateway.follow_threads, lambda: follower.run(handover.put), follower.close
        ) as chunks:
            first = await anext(chunks)
            await answer.begin(_HEADERS)
            await answer.send_chunk(first)
            sending = asyncio.ensure_future(answer.send(chunks))
            try:
                if not is_head:
                    await asyncio.wait((sending, *ends), return_when=asyncio.FIRST_COMPLETED)
                    if sending.done():
                        sending.result()
            finally:
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)
        await answer.end()
    except Exception as error:
        if not answer.has_begun:
            raise
        if not isinstance(error, ArgusClientError | TimeoutError):
            _log.exception("following failed")
        raise answer.break_off(error) from error
    finally:
        for end in ends:
            end.cancel()


class Follower:
    """Makes the stream of one export that is followed. `run` is for a thread of its own, `close` for any."""

    def __init__(self, client: ExportClient, query: EventQuery, values: Values, place: Place | None) -> None:
        self._client = client
        self._query = query
        self._values = values
        self._place = place
        self._export: Export | None = None
        self._has_begun = self._is_closed = False

    def close(self) -> None:
        """Calls the export off, also at the server; `run` then ends."""
        self._is_closed = True
        if self._export is not None:
            self._export.close()

    def run(self, put: Callable[[Chunk], None]) -> None:
        """Puts server-sent events until it is closed. Raises an ArgusClientError, and what `put` raises."""
        columns = self._values["columns"]
        with self._client:
            query, point = self._from_where(columns)
            start_ns = None if self._values["last"] is None else query.to_message().start_time.ToNanoseconds()
            with self._client.export(
                query,
                columns=columns,
                follow=True,
                resume_from=point,
                max_batch_bytes=_BATCH_BYTES,
                on_retry=self._before_retry,
            ) as self._export:
                if self._is_closed:
                    # close() may have come too early to see it.
                    self._export.close()
                keys = [column.json_name for column in self._export.header.columns]
                put(f"retry: {_RECONNECT_MS}\n\n".encode())
                self._has_begun = True
                for batch in self._export.read():
                    if batch is None:
                        name = "heartbeat"
                        told = {
                            "watermark": self._export.watermark,
                            "rowsSent": self._export.resume_point.rows,
                        }
                        data = json.dumps(told).encode()
                    else:
                        name = "events"
                        # No line break is in it: JSON's strings have none, and nothing else has.
                        data = b"[" + objects_text(keys, batch, "auto", ",", "").to_pybytes()[1:] + b"]"
                    place = Place(start_ns, query.after_sequence, self._export.resume_point)
                    put(b"event: %b\nid: %b\ndata: %b\n\n" % (name.encode(), str(place).encode(), data))

    def _from_where(self, columns: tuple[str, ...]) -> tuple[EventQuery, ResumePoint | None]:
        """The query with the place that new events begin at, and where an earlier stream of it broke off."""
        if self._place is not None:
            query = replace(self._query, after_sequence=self._place.after_sequence)
            if self._place.start_ns is not None:
                query = replace(query, start=self._place.start_ns)
            return query, self._place.point
        if self._values["after_sequence"] is not None:
            return self._query, None
        watermark = self._client.plan(self._query, columns=columns).watermark
        return replace(self._query, after_sequence=watermark), None

    def _before_retry(self, _attempt: int, _wait_s: float, error: ArgusClientError) -> None:
        # What has not begun is told at once, and may be asked for again.
        if not self._has_begun:
            raise error
