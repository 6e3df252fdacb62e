"""A gRPC server that plays what a test tells it to: for streams that a right server never sends."""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import NamedTuple, TypeAlias, cast

import google_crc32c
import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message
from google.rpc.status_pb2 import Status

from argus_grpc.columns import DEFAULT_COLUMNS
from argus_grpc.encode import to_arrow_stream
from argus_grpc.v1.event_pb2 import Event, EventType
from argus_grpc.v1.export_pb2 import (
    EventBatch,
    ExportSummary,
    ListColumnsRequest,
    ListColumnsResponse,
    PlanExportRequest,
    PlanExportResponse,
    Progress,
    StreamAggregatesRequest,
    StreamAggregatesResponse,
    StreamEventsRequest,
    StreamEventsResponse,
)
from argus_grpc.v1.export_pb2_grpc import ExportServiceServicer, add_ExportServiceServicer_to_server
from tests.strategies import batch_of, header_of

WATERMARK = 1_000
DETAILS_KEY = "grpc-status-details-bin"


class Stall:
    """A step that sends nothing until the client calls the export off."""


class Wait(NamedTuple):
    """A step that waits for this, 20 s at most."""

    event: threading.Event


class EndWith(NamedTuple):
    """A step that ends the call with this status."""

    code: grpc.StatusCode
    details: str
    trailing_metadata: tuple[tuple[str, bytes], ...] = ()


Step: TypeAlias = StreamEventsResponse | EndWith | Stall | Wait


class ScriptedExports(ExportServiceServicer):
    """Plays a script to each call of StreamEvents, the last of them to all further calls: messages
    are sent, a status ends the call."""

    def __init__(self, scripts: Sequence[Sequence[Step]]) -> None:
        self._scripts = scripts
        self.address = ""
        self.requests: list[StreamEventsRequest] = []
        self.authorizations: list[str | bytes | None] = []
        """What each call said of who calls."""
        self.certificate_names: list[tuple[bytes, ...]] = []
        """Whom the client certificate of each call names."""
        self.messages_sent = 0
        self.call_ended = threading.Event()
        self.has_stalled = threading.Event()

    def ListColumns(  # noqa: N802 - the rpc's name
        self, _request: ListColumnsRequest, context: grpc.ServicerContext
    ) -> ListColumnsResponse:
        context.abort(grpc.StatusCode.UNIMPLEMENTED, "not scripted")

    def PlanExport(  # noqa: N802 - the rpc's name
        self, _request: PlanExportRequest, context: grpc.ServicerContext
    ) -> PlanExportResponse:
        context.abort(grpc.StatusCode.UNIMPLEMENTED, "not scripted")

    def StreamAggregates(  # noqa: N802 - the rpc's name
        self, _request: StreamAggregatesRequest, context: grpc.ServicerContext
    ) -> Iterator[StreamAggregatesResponse]:
        context.abort(grpc.StatusCode.UNIMPLEMENTED, "not scripted")

    def StreamEvents(  # noqa: N802 - the rpc's name
        self, request: StreamEventsRequest, context: grpc.ServicerContext
    ) -> Iterator[StreamEventsResponse]:
        script = self._scripts[min(len(self.requests), len(self._scripts) - 1)]
        self.requests.append(request)
        self.authorizations.append(dict(context.invocation_metadata()).get("authorization"))
        names = context.auth_context().get("x509_subject_alternative_name", ())
        self.certificate_names.append(tuple(cast(Iterable[bytes], names)))
        this_call_ended = threading.Event()
        context.add_callback(this_call_ended.set)
        context.add_callback(self.call_ended.set)
        for step in script:
            match step:
                case Stall():
                    self.has_stalled.set()
                    this_call_ended.wait()
                case Wait(event):
                    event.wait(20)
                case EndWith():
                    context.abort_with_status(cast(grpc.Status, step))
                case _:
                    yield step
                    self.messages_sent += 1


@contextmanager
def scripted_server(
    *steps: Step, then: Sequence[Sequence[Step]] = (), credentials: grpc.ServerCredentials | None = None
) -> Iterator[ScriptedExports]:
    """A server on a free loopback port that plays the steps; to the calls after the first, `then`. Over TLS
    it is localhost."""
    servicer = ScriptedExports((steps, *then))
    server = grpc.server(ThreadPoolExecutor(4))
    add_ExportServiceServicer_to_server(servicer, server)
    if credentials is None:
        servicer.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    else:
        servicer.address = f"localhost:{server.add_secure_port('127.0.0.1:0', credentials)}"
    server.start()
    try:
        yield servicer
    finally:
        server.stop(None).wait()


def header(total_events: int, first_row: int = 0, watermark: int = WATERMARK) -> StreamEventsResponse:
    message = header_of(DEFAULT_COLUMNS, total_events)
    message.watermark, message.first_row, message.resume_token = watermark, first_row, "token-0"
    return StreamEventsResponse(header=message)


def batch(first_row: int, row_count: int) -> StreamEventsResponse:
    """Events with thread ids that count up from first_row."""
    events = [
        Event(
            timestamp=1_704_067_200_000_000_000 + row,
            event_type=EventType.EVENT_TYPE_VIRTUAL_THREAD_START,
            thread_id=row,
            thread_name=f"VT-{row}",
        )
        for row in range(first_row, first_row + row_count)
    ]
    arrow = bytes(to_arrow_stream(batch_of(events, DEFAULT_COLUMNS)))
    return StreamEventsResponse(
        batch=EventBatch(
            first_row=first_row,
            row_count=row_count,
            resume_token=f"token-{first_row + row_count}",
            crc32c=google_crc32c.value(arrow),
            arrow=arrow,
        )
    )


def progress(rows_sent: int, watermark: int = WATERMARK) -> StreamEventsResponse:
    token = f"token-{rows_sent}"
    return StreamEventsResponse(
        progress=Progress(rows_sent=rows_sent, resume_token=token, watermark=watermark)
    )


def summary(total_rows: int, rows_remaining: int = 0, watermark: int = WATERMARK) -> StreamEventsResponse:
    return StreamEventsResponse(
        summary=ExportSummary(
            completeness=ExportSummary.COMPLETENESS_TRUNCATED
            if rows_remaining
            else ExportSummary.COMPLETENESS_COMPLETE,
            total_rows=total_rows,
            watermark=watermark,
            rows_remaining=rows_remaining,
        )
    )


def altered(
    step: StreamEventsResponse, alter: Callable[[StreamEventsResponse], object]
) -> StreamEventsResponse:
    """A copy of the message that `alter` has changed."""
    copy = StreamEventsResponse.FromString(step.SerializeToString())
    alter(copy)
    return copy


def status(code: grpc.StatusCode, message: str, *details: Message) -> EndWith:
    """A status with google.rpc details."""
    packed = []
    for detail in details:
        packed.append(AnyMessage())
        packed[-1].Pack(detail)
    rich = Status(code=code.value[0], message=message, details=packed)
    return EndWith(code, message, ((DETAILS_KEY, rich.SerializeToString()),))
