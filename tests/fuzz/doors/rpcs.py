"""Every RPC of a real server over a real socket: bytes in, and a status that is meant for them out."""

import logging
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from random import Random
from typing import Any, cast

import grpc
import structlog
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc.error_details_pb2 import ErrorInfo
from grpc_health.v1 import health_pb2
from grpc_status import rpc_status

from argus_grpc.config import Config
from argus_grpc.server import Server
from argus_grpc.v1 import export_pb2, ingest_pb2
from argus_grpc.v1.aggregate_pb2 import GroupBy, Measure
from argus_grpc.v1.event_pb2 import Events, EventType
from argus_grpc.v1.export_pb2 import (
    Encoding,
    Order,
    PlanExportRequest,
    StreamAggregatesRequest,
    StreamEventsRequest,
)
from argus_grpc.v1.ingest_pb2 import IngestEventsRequest
from argus_grpc.v1.query_pb2 import EventQuery, ThreadNameMatch
from tests.fuzz.door import Attempt, Door
from tests.fuzz.mutation import mutate_bytes, mutate_message
from tests.fuzz.real import REAL_EVENTS, TEXTS, arrow_streams

_METHODS = [
    (f"/{service.full_name}/{method.name}", method)
    for pb2 in (export_pb2, ingest_pb2, health_pb2)
    for service in pb2.DESCRIPTOR.services_by_name.values()
    for method in service.methods
]
_TIMEOUT_S = 20
_MAX_MESSAGES = 20
_MAX_TOLD_CHARACTERS = 5_000

_REFUSALS = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.OUT_OF_RANGE,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.NOT_FOUND,  # of Health's Check
    grpc.StatusCode.PERMISSION_DENIED,  # of Health's List
}
# What a server says of itself: SQL, files and stacks.
_INSIDE = re.compile(
    r"Traceback|site-packages|\.py\b|duckdb|(?:Binder|Catalog|Parser|Conversion) Error|events\.duckdb"
)


@contextmanager
def _open() -> Iterator[Attempt]:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    config = Config(
        no_persistence=True, buffer_events=500, listen="127.0.0.1:0", shutdown_grace_s=0, stall_timeout_s=5
    )
    with Server(config) as server, grpc.insecure_channel(server.address) as channel:
        ingest = IngestEventsRequest(rows=Events(events=REAL_EVENTS))
        channel.unary_unary(_path("IngestEvents"))(cast(Any, ingest.SerializeToString()))

        def attempt(data: bytes) -> None:
            path, method = _METHODS[data[0] % len(_METHODS)] if data else _METHODS[0]
            _attempt(channel, path, method, data[1:])

        yield attempt


def _path(name: str) -> str:
    return next(path for path, method in _METHODS if method.name == name)


def _attempt(channel: Any, path: str, method: Any, request: bytes) -> None:
    answer = GetMessageClass(method.output_type).FromString
    try:
        if method.server_streaming:
            call = channel.unary_stream(path)(request, timeout=_TIMEOUT_S)
            # Those that are followed or watched have no end, and say little.
            for message in islice(call, 1 if _is_endless(path, request) else _MAX_MESSAGES):
                answer(message)
            call.cancel()
        else:
            answer(channel.unary_unary(path)(request, timeout=_TIMEOUT_S))
    except grpc.RpcError as error:
        _check(cast(grpc.Call, error), path)


def _is_endless(path: str, request: bytes) -> bool:
    if path.endswith("/Watch"):
        return True
    try:
        return path.endswith("/StreamEvents") and StreamEventsRequest.FromString(request).follow
    except DecodeError:
        return False


def _check(error: grpc.Call, path: str) -> None:
    told = error.details() or ""
    assert error.code() in _REFUSALS, f"{path}: {error.code().name}: {told}"
    assert len(told) < _MAX_TOLD_CHARACTERS, "a refusal of any length"
    assert not _INSIDE.search(told), told
    if "argus" in path:
        status = rpc_status.from_call(error)
        assert status is not None
        assert any(detail.Is(ErrorInfo.DESCRIPTOR) for detail in status.details), told


def _seeds() -> Iterator[bytes]:
    query = EventQuery(
        sources=["a"],
        event_types=EventType.values()[1:3],
        thread_ids=[1],
        thread_name=ThreadNameMatch(glob="p*"),
    )
    query.start_time.FromNanoseconds(1)
    requests: dict[str, Sequence[Message]] = {
        "ListColumns": [export_pb2.ListColumnsRequest()],
        "PlanExport": [PlanExportRequest(), PlanExportRequest(query=query, columns=["all"])],
        "StreamEvents": [
            StreamEventsRequest(),
            StreamEventsRequest(
                query=query, columns=["timestamp", "source"], encoding=Encoding.ENCODING_ARROW, limit=1
            ),
            StreamEventsRequest(
                order=Order.ORDER_ARRIVAL, follow=True, max_batch_bytes=16384, resume_token="AQ"
            ),
        ],
        "StreamAggregates": [
            StreamAggregatesRequest(
                group_by=[GroupBy(time_bucket_ns=10), GroupBy(column="thread_name"), GroupBy(column="stack")],
                measures=[Measure(), Measure(function=Measure.FUNCTION_P99, column="duration_ns")],
            ),
            StreamAggregatesRequest(
                query=query, measures=[Measure(function=Measure.FUNCTION_SUM, column="cpu_jvm_user")]
            ),
        ],
        "IngestEvents": [
            IngestEventsRequest(rows=Events(events=REAL_EVENTS), source="s", batch_id="b"),
            *(IngestEventsRequest(arrow=stream) for stream in arrow_streams()),
        ],
        "Check": [health_pb2.HealthCheckRequest(service="argus_grpc.v1.ExportService")],
        "Watch": [health_pb2.HealthCheckRequest()],
    }
    for place, (_, method) in enumerate(_METHODS):
        for request in requests.get(method.name, []):
            yield bytes([place]) + request.SerializeToString()


def _mutate(random: Random, data: bytes, words: Sequence[bytes]) -> bytes:
    if not data or random.random() < 0.3:
        return mutate_bytes(random, data, words)
    kind = cast(Callable[[], Any], GetMessageClass(_METHODS[data[0] % len(_METHODS)][1].input_type))
    return data[:1] + mutate_message(random, data[1:], words, cast(type[Message], kind))


DOOR = Door(
    open=_open,
    seeds=_seeds,
    words=(
        *TEXTS,
        b"all",
        b"timestamp",
        b"stack_trace",
        b"duration_ns",
        b"stack",
        b"*a" * 200,
        b"(a{1000}){1000}",
        b"(?i)a",
        b"[",
        b"'",
        b'"',
        b"%",
        b"\\",
        b"argus_grpc.v1.IngestService",
    ),
    mutate=_mutate,
    follows=(
        "argus_grpc.service",
        "argus_grpc.query",
        "argus_grpc.grouping",
        "argus_grpc.ingest.request",
        "argus_grpc.export",
        "argus_grpc.aggregate",
        "argus_grpc.windows",
    ),
    max_bytes=32 * 1024,
    timeout_s=60,
)
