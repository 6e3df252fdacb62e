"""Tokens that are tampered with, foreign, expired, or for another request: each refused by its name."""

import time
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, PreconditionFailure
from grpc_status import rpc_status

from argus_grpc.v1.event_pb2 import Event
from argus_grpc.v1.export_pb2 import Order, StreamEventsRequest
from argus_grpc.v1.query_pb2 import EventQuery
from tests.conftest import RunningServer, start_server

pytestmark = pytest.mark.duckdb

DAY_S = 24 * 3600


@pytest.fixture
def token(server: RunningServer, example_events: list[Event]) -> str:
    """A token of the server's for a request with nothing set."""
    server.ingest(example_events)
    return str(next(server.exports.StreamEvents(StreamEventsRequest())).header.resume_token)


def refusal_of(
    server: RunningServer, request: StreamEventsRequest, detail: Message
) -> tuple[grpc.StatusCode, str]:
    """The status code and reason that a request is refused with; fills in the detail."""
    with pytest.raises(grpc.RpcError) as refusal:
        next(server.exports.StreamEvents(request))
    details = rpc_status.from_call(refusal.value).details
    info = ErrorInfo()
    assert details[0].Unpack(info)
    assert details[1].Unpack(detail)
    return refusal.value.code(), info.reason


def test_a_tampered_token_is_refused(server: RunningServer, token: str) -> None:
    place = len(token) // 2
    tampered = token[:place] + ("A" if token[place] != "A" else "B") + token[place + 1 :]
    bad_request = BadRequest()
    code, reason = refusal_of(server, StreamEventsRequest(resume_token=tampered), bad_request)
    assert (code, reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_TOKEN")
    (violation,) = bad_request.field_violations
    assert (violation.field, violation.description) == (
        "resume_token",
        "resume_token is not a token of this service",
    )


def test_another_servers_token_is_refused(token: str, tmp_path: Path) -> None:
    for other in start_server(tmp_path / "other"):
        code, reason = refusal_of(other, StreamEventsRequest(resume_token=token), BadRequest())
    assert (code, reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_TOKEN")


def test_another_stores_token_is_refused_where_the_key_is_one(
    tmp_path: Path, example_events: list[Event]
) -> None:
    key = "k" * 32
    for first in start_server(tmp_path / "first", token_key=key):
        first.ingest(example_events)
        token = next(first.exports.StreamEvents(StreamEventsRequest())).header.resume_token
    for second in start_server(tmp_path / "second", token_key=key):
        second.ingest(example_events)
        bad_request = BadRequest()
        code, reason = refusal_of(second, StreamEventsRequest(resume_token=token), bad_request)
    assert (code, reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_TOKEN")
    assert "for another store" in bad_request.field_violations[0].description


@pytest.mark.parametrize(
    "change",
    [
        lambda request: request.query.CopyFrom(EventQuery(sources=["other"])),
        lambda request: request.columns.append("sequence"),
        lambda request: setattr(request, "order", Order.ORDER_ARRIVAL),
    ],
)
def test_a_token_for_another_request_is_refused(
    server: RunningServer, token: str, change: Callable[[StreamEventsRequest], None]
) -> None:
    request = StreamEventsRequest(resume_token=token)
    change(request)
    bad_request = BadRequest()
    code, reason = refusal_of(server, request, bad_request)
    assert (code, reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_TOKEN")
    assert "for another request" in bad_request.field_violations[0].description


def test_an_expired_token_is_refused(
    server: RunningServer, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = time.time()
    monkeypatch.setattr("argus_grpc.export.time.time", lambda: now_s + DAY_S + 1)
    failure = PreconditionFailure()
    code, reason = refusal_of(server, StreamEventsRequest(resume_token=token), failure)
    assert (code, reason) == (grpc.StatusCode.FAILED_PRECONDITION, "TOKEN_EXPIRED")
    assert failure.violations[0].type == "TOKEN_EXPIRED"
