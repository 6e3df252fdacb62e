"""An export's batches, over as many calls as they take."""

import random
import threading
import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import TypeAlias

import pyarrow as pa

from argus_client.connection import Connection, MessageStream
from argus_client.errors import ArgusClientError, BrokenExport, ServerUnavailable
from argus_client.retry import Fail, RetryRule, RetryState, given_up, retold
from argus_client.stream import ResumePoint, StreamVerifier, total_rows
from argus_grpc.v1.export_pb2 import (
    ExportHeader,
    ExportSummary,
    StreamAggregatesRequest,
    StreamAggregatesResponse,
    StreamEventsRequest,
    StreamEventsResponse,
)

Request: TypeAlias = StreamEventsRequest | StreamAggregatesRequest
_Response: TypeAlias = StreamEventsResponse | StreamAggregatesResponse

OnRetry: TypeAlias = Callable[[int, float, ArgusClientError], None]
"""Called before a wait: which try since the last progress it is for, from 1; its seconds; why."""


def is_followed(request: Request) -> bool:
    """Whether new events are to be sent when the others have been."""
    return isinstance(request, StreamEventsRequest) and request.follow


class ResumingStream:
    """The batches of one export, checked. A call that is cut is followed by one that goes on, as the
    rule has it. To be read by one thread; `close` and `end_following` may be called by any."""

    def __init__(
        self,
        connection: Connection,
        request: Request,
        resume_from: ResumePoint | None,
        rule: RetryRule,
        on_retry: OnRetry | None,
    ) -> None:
        self._connection = connection
        self._request = request
        self._rule = rule
        self._on_retry = on_retry
        self._verifier = StreamVerifier(
            resume_from,
            follow=is_followed(request),
            grouped=isinstance(request, StreamAggregatesRequest),
        )
        self._retries = RetryState(has_begun=resume_from is not None)
        self._call: MessageStream[_Response] | None = None
        self._messages: Iterator[_Response] | None = None
        self._call_follows = False
        self._is_closed = self._is_ending = False
        self._wake = threading.Event()
        self._changing_call = threading.Lock()
        self.summary: ExportSummary | None = None
        """How the export ended, once the last batch has been given out."""

    def open(self) -> ExportHeader:
        """The header; the first to ask for it makes the call. Raises an ArgusClientError."""
        if self._verifier.header is None and self._is_closed:
            raise RuntimeError("the export is closed")
        try:
            while self._verifier.header is None:
                self.advance()
        except BaseException:
            self.close()
            raise
        return self._verifier.header

    def close(self) -> None:
        """Calls the export off, unless it has ended."""
        self._is_closed = True
        self._wake.set()
        if self._call is not None:
            self._call.cancel()

    def end_following(self) -> None:
        """Has an export that is followed end whole, with what is under way. May be called again."""
        self._is_ending = True
        self._wake.set()
        with self._changing_call:
            if self._call is not None and self._call_follows:
                self._call.cancel()

    @property
    def schema(self) -> pa.Schema:
        return self._verifier.schema

    @property
    def resume_point(self) -> ResumePoint | None:
        """The place after the last batch given out; None in a fresh export without its header."""
        if not self._verifier.resume_token:
            return None
        return ResumePoint(self._verifier.resume_token, self._verifier.next_row)

    @property
    def watermark(self) -> int:
        """The greatest that the server has named."""
        return self._verifier.watermark

    @property
    def is_live(self) -> bool:
        """Whether the snapshot of an export that is followed is through."""
        return self._verifier.is_live

    def advance(self) -> pa.RecordBatch | None:
        """Takes the next message, of a new call where there is none, and gives the events in it; None if
        there are none, or the export has ended. Raises an ArgusClientError."""
        try:
            if self._messages is None:
                self._messages = self._begin_call()
            message = next(self._messages, None)
            if message is None:
                self.summary = self._verifier.finish()
                return None
            batch = self._verifier.accept(message)
        except ArgusClientError as error:
            self._messages = None
            if isinstance(error, BrokenExport) or not self._next_call_is_the_last:
                self._wait_or_raise(error)
            return None
        # Before the header a progress message says only that events are being grouped.
        is_progress = message.WhichOneof("payload") == "progress" and self._verifier.call_has_header
        has_come_further = batch is not None or is_progress
        self._retries = self._retries.with_progress() if has_come_further else self._retries.with_header()
        return batch

    @property
    def _next_call_is_the_last(self) -> bool:
        """Whether this call was to be followed on, and is not any more."""
        return self._is_ending and self._call_follows and not self._is_closed

    def _begin_call(self) -> Iterator[_Response]:
        request = deepcopy(self._request)
        request.resume_token = self._verifier.resume_token
        is_all_there = 0 < request.limit <= self._verifier.next_row
        request.limit = 0 if is_all_there else max(0, request.limit - self._verifier.next_row)
        with self._changing_call:
            self._call_follows = is_followed(request) and not self._is_ending
            call: MessageStream[_Response]
            if isinstance(request, StreamAggregatesRequest):
                call = self._connection.stream(self._connection.exports.StreamAggregates, request)
            else:
                request.follow = self._call_follows
                call = self._connection.stream(self._connection.exports.StreamEvents, request)
            self._call = call
        self._verifier.begin_call(follow=self._call_follows)
        if self._is_closed:
            # close() may have come too early to see the call.
            call.cancel()
        return self._end_at_limit(iter(call)) if is_all_there else iter(call)

    def _end_at_limit(self, messages: Iterator[_Response]) -> Iterator[_Response]:
        """What a call would send whose limit has no row left, which cannot be asked for (0 is no
        limit): the header of a call without a limit says all that the summary has to."""
        for first in messages:
            if first.WhichOneof("payload") != "progress":
                break
            yield first
        else:
            return
        if first.WhichOneof("payload") != "header":
            raise BrokenExport("the stream does not begin with a header")
        assert self._call is not None
        self._call.cancel()
        header = first.header
        rows_remaining = total_rows(header) - header.first_row
        if header.HasField("aggregation"):
            header.aggregation.total_groups = header.first_row
        else:
            header.total_events = header.first_row
        yield first
        yield type(first)(
            summary=ExportSummary(
                completeness=ExportSummary.COMPLETENESS_TRUNCATED
                if rows_remaining
                else ExportSummary.COMPLETENESS_COMPLETE,
                total_rows=header.first_row,
                watermark=header.watermark,
                continuation_token=header.resume_token if rows_remaining else "",
                rows_remaining=rows_remaining,
            )
        )

    def _wait_or_raise(self, error: ArgusClientError) -> None:
        if isinstance(error, ServerUnavailable) and self._verifier.header is not None:
            error = retold(error, f"{error}, {self._verifier.so_far}")
        decision = self._rule.after_failure(self._retries, error, time.monotonic(), random.random())
        if isinstance(decision, Fail):
            raise given_up(error, decision)
        if self._on_retry is not None:
            self._on_retry(decision.attempt, decision.wait_s, error)
        self._wake.clear()
        if not self._is_closed and not self._next_call_is_the_last:
            self._wake.wait(decision.wait_s)
        if self._is_closed:
            raise error
        self._retries = decision.state
