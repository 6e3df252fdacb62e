"""A gRPC server that takes events as the contract says, but for the failures that a test has it play."""

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from enum import Enum, auto
from typing import TypeAlias, cast

import grpc
import pyarrow as pa
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo

from argus_grpc.v1.event_pb2 import Event
from argus_grpc.v1.ingest_pb2 import IngestEventsRequest, IngestEventsResponse
from argus_grpc.v1.ingest_pb2_grpc import IngestServiceServicer, add_IngestServiceServicer_to_server
from tests.scripted import EndWith, status


class Play(Enum):
    """What happens to a batch."""

    STORE = auto()
    LOSE_ANSWER = auto()
    """It is stored, and then the connection breaks."""


Step: TypeAlias = Play | EndWith

GONE = EndWith(grpc.StatusCode.UNAVAILABLE, "Socket closed")


def busy(retry_after_s: float | None) -> EndWith:
    """RESOURCE_EXHAUSTED; without RetryInfo if None."""
    details = []
    if retry_after_s is not None:
        delay = Duration()
        delay.FromNanoseconds(round(retry_after_s * 1e9))
        details.append(RetryInfo(retry_delay=delay))
    return status(grpc.StatusCode.RESOURCE_EXHAUSTED, "too much at once", ErrorInfo(), *details)


def refused(field: str, description: str) -> EndWith:
    violation = BadRequest.FieldViolation(field=field, description=description)
    return status(grpc.StatusCode.INVALID_ARGUMENT, "does not fit", BadRequest(field_violations=[violation]))


class ScriptedIngests(IngestServiceServicer):
    """Plays a step to each call, and stores all further batches."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self._steps = list(steps)
        self._lock = threading.Lock()
        self._sequences: dict[tuple[str, str], range] = {}
        self.address = ""
        self.requests: list[IngestEventsRequest] = []
        """All that came, in order."""
        self.stored: list[IngestEventsRequest] = []
        self.next_sequence = 1

    @property
    def events(self) -> list[Event]:
        """What is stored of row requests, in order."""
        return [event for request in self.stored for event in request.rows.events]

    def IngestEvents(  # noqa: N802 - the rpc's name
        self, request: IngestEventsRequest, context: grpc.ServicerContext
    ) -> IngestEventsResponse:
        with self._lock:
            self.requests.append(request)
            step = self._steps.pop(0) if self._steps else Play.STORE
            if isinstance(step, EndWith):
                context.abort_with_status(cast(grpc.Status, step))
            answer = self._store(request)
            if step is Play.LOSE_ANSWER:
                context.abort_with_status(cast(grpc.Status, GONE))
            return answer

    def _store(self, request: IngestEventsRequest) -> IngestEventsResponse:
        key = (request.source, request.batch_id)
        before = self._sequences.get(key) if request.batch_id else None
        if before is None:
            first = self.next_sequence
            self.next_sequence += _count(request)
            self.stored.append(request)
            self._sequences[key] = range(first, self.next_sequence)
        given = before or self._sequences[key]
        return IngestEventsResponse(
            first_sequence=given[0], last_sequence=given[-1], was_stored_before=before is not None
        )


def _count(request: IngestEventsRequest) -> int:
    if request.HasField("rows"):
        return len(request.rows.events)
    return int(pa.ipc.open_stream(request.arrow).read_all().num_rows)


@contextmanager
def ingest_server(*steps: Step) -> Iterator[ScriptedIngests]:
    """A server on a free loopback port that plays the steps."""
    servicer = ScriptedIngests(steps)
    server = grpc.server(ThreadPoolExecutor(4))
    add_IngestServiceServicer_to_server(servicer, server)
    servicer.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield servicer
    finally:
        server.stop(None).wait()
