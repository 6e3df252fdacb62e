"""An export's batches, over as many calls as they take."""

import random
import threading
import time
from collections.abc import Callable, Iterator
from typing import TypeAlias

import pyarrow as pa

from argus_client.connection import Connection, MessageStream
from argus_client.errors import ArgusClientError, BrokenExport, ServerUnavailable
from argus_client.retry import Fail, RetryRule, RetryState, given_up, retold
from argus_client.stream import ResumePoint, StreamVerifier
from argus_grpc.v1.export_pb2 import ExportHeader, ExportSummary, StreamEventsRequest, StreamEventsResponse

OnRetry: TypeAlias = Callable[[int, float, ArgusClientError], None]
"""Called before a wait: which try since the last progress it is for, from 1; its seconds; why."""


class ResumingStream:
    """The batches of one export, checked. A call that is cut is followed by one that goes on, as the
    rule has it. To be read by one thread; `close` may be called by any."""

    def __init__(
        self,
        connection: Connection,
        request: StreamEventsRequest,
        resume_from: ResumePoint | None,
        rule: RetryRule,
        on_retry: OnRetry | None,
    ) -> None:
        self._connection = connection
        self._request = request
        self._rule = rule
        self._on_retry = on_retry
        self._verifier = StreamVerifier(resume_from)
        self._retries = RetryState(has_begun=resume_from is not None)
        self._call: MessageStream[StreamEventsResponse] | None = None
        self._messages: Iterator[StreamEventsResponse] | None = None
        self._closed = threading.Event()
        self.summary: ExportSummary | None = None
        """How the export ended, once the last batch has been given out."""

    def open(self) -> ExportHeader:
        """The header; the first to ask for it makes the call. Raises an ArgusClientError."""
        if self._verifier.header is None and self._closed.is_set():
            raise RuntimeError("the export is closed")
        try:
            while self._verifier.header is None:
                self._advance()
        except BaseException:
            self.close()
            raise
        return self._verifier.header

    def next_batch(self) -> pa.RecordBatch | None:
        """The next events; None when the export has ended, whole. Raises an ArgusClientError."""
        while self.summary is None:
            batch = self._advance()
            if batch is not None:
                return batch
        return None

    def close(self) -> None:
        """Calls the export off, unless it has ended."""
        self._closed.set()
        if self._call is not None:
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

    def _advance(self) -> pa.RecordBatch | None:
        """Takes the next message, of a new call where there is none; gives the events in it."""
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
            self._wait_or_raise(error)
            return None
        self._retries = self._retries.with_header() if batch is None else self._retries.with_progress()
        return batch

    def _begin_call(self) -> Iterator[StreamEventsResponse]:
        self._verifier.begin_call()
        request = StreamEventsRequest()
        request.CopyFrom(self._request)
        request.resume_token = self._verifier.resume_token
        is_all_there = 0 < request.limit <= self._verifier.next_row
        request.limit = 0 if is_all_there else max(0, request.limit - self._verifier.next_row)
        self._call = self._connection.exports.StreamEvents(request)
        if self._closed.is_set():
            # close() may have come too early to see the call.
            self._call.cancel()
        messages = self._connection.messages(self._call)
        return self._end_at_limit(messages) if is_all_there else messages

    def _end_at_limit(self, messages: Iterator[StreamEventsResponse]) -> Iterator[StreamEventsResponse]:
        """What a call would send whose limit has no event left, which cannot be asked for (0 is no
        limit): the header of a call without a limit says all that the summary has to."""
        first = next(messages, None)
        if first is None or first.WhichOneof("payload") != "header":
            raise BrokenExport("the stream does not begin with a header")
        assert self._call is not None
        self._call.cancel()
        header = first.header
        rows_remaining = header.total_events - header.first_row
        header.total_events = header.first_row
        yield first
        yield StreamEventsResponse(
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
        if self._closed.wait(decision.wait_s):
            raise error
        self._retries = decision.state
