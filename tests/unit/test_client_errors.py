"""What a call's failure becomes: decided by codes and details, never by message text."""

import socket

import grpc
import pytest
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, PreconditionFailure, QuotaFailure, RequestInfo
from google.rpc.status_pb2 import Status

from argus_client import (
    ArgusClientError,
    BrokenExport,
    EventsMissed,
    ExportClient,
    InvalidRequest,
    LimitExceeded,
    NotAllowed,
    NotSignedIn,
    ResumeRefused,
    ServerError,
    ServerUnavailable,
    Violation,
)
from tests.scripted import DETAILS_KEY, EndWith, scripted_server, status

Code = grpc.StatusCode


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (Code.INVALID_ARGUMENT, InvalidRequest),
        (Code.UNAUTHENTICATED, NotSignedIn),
        (Code.PERMISSION_DENIED, NotAllowed),
        (Code.UNAVAILABLE, ServerUnavailable),
        (Code.RESOURCE_EXHAUSTED, LimitExceeded),
        (Code.FAILED_PRECONDITION, ResumeRefused),
        (Code.DATA_LOSS, BrokenExport),
        (Code.UNIMPLEMENTED, ServerError),
        (Code.INTERNAL, ServerError),
        (Code.UNKNOWN, ServerError),
        (Code.CANCELLED, ServerError),
        (Code.DEADLINE_EXCEEDED, ServerError),
    ],
)
def test_each_code_has_its_error(code: grpc.StatusCode, expected: type[ArgusClientError]) -> None:
    # The text misleads on purpose.
    told = status(code, "UNAVAILABLE: permission denied", ErrorInfo(reason="TEST", domain="test"))
    with scripted_server(told) as server, ExportClient(server.address) as client:
        with pytest.raises(expected) as caught:
            client.export().to_arrow()
        assert type(caught.value) is expected
        assert "permission denied" in str(caught.value)


def test_a_bad_request_names_the_arguments_as_python_callers_write_them() -> None:
    violations = [
        BadRequest.FieldViolation(field="query.end_time", description="must be after query.start_time"),
        BadRequest.FieldViolation(field="query.event_types[1]", description="7 is not allowed"),
        BadRequest.FieldViolation(field="columns[0]", description="'x' is not one of the columns"),
        BadRequest.FieldViolation(field="of_the_future", description="no"),
    ]
    told = status(Code.INVALID_ARGUMENT, "bad", BadRequest(field_violations=violations))
    with (
        scripted_server(told) as server,
        ExportClient(server.address) as client,
        pytest.raises(InvalidRequest) as caught,
    ):
        client.export().to_arrow()
    assert caught.value.violations[0] == Violation("query.end_time", "must be after query.start_time")
    assert str(caught.value).split("; ") == [
        "end: must be after start",
        "types: 7 is not allowed",
        "columns[0]: 'x' is not one of the columns",
        "of_the_future: no",
    ]


@pytest.mark.parametrize(
    ("type_", "subject", "expected"),
    [
        ("EVENTS_REMOVED", "query.after_sequence", EventsMissed),
        ("EVENTS_REMOVED", "events", ResumeRefused),
        ("TOKEN_EXPIRED", "resume_token", ResumeRefused),
        ("OF_THE_FUTURE", "query.after_sequence", ResumeRefused),
    ],
)
def test_events_missed_are_told_from_a_refused_resume(
    type_: str, subject: str, expected: type[ArgusClientError]
) -> None:
    violation = PreconditionFailure.Violation(type=type_, subject=subject, description="2 to 5 are gone")
    told = status(Code.FAILED_PRECONDITION, "bad", PreconditionFailure(violations=[violation]))
    with scripted_server(told) as server, ExportClient(server.address) as client:
        with pytest.raises(expected) as caught:
            client.export().to_arrow()
        assert type(caught.value) is expected
    if isinstance(caught.value, EventsMissed):
        assert str(caught.value) == "after_sequence: 2 to 5 are gone"
        assert caught.value.violations == (Violation("query.after_sequence", "2 to 5 are gone"),)
    else:
        assert str(caught.value) == "bad"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("max_exports: the limit of 4 is reached", "max_exports: the limit of 4 is reached"),
        ("come again later", "max_exports: come again later"),
    ],
)
def test_a_limit_is_named(text: str, told: str) -> None:
    quota = QuotaFailure(violations=[QuotaFailure.Violation(subject="max_exports")])
    refused = status(Code.RESOURCE_EXHAUSTED, text, quota)
    with (
        scripted_server(refused) as server,
        ExportClient(server.address) as client,
        pytest.raises(LimitExceeded) as caught,
    ):
        client.export().to_arrow()
    assert (str(caught.value), caught.value.limit, caught.value.retry_after_s) == (told, "max_exports", None)


def test_an_internal_error_tells_the_request_id_to_look_for() -> None:
    told = status(Code.INTERNAL, "internal error", RequestInfo(request_id="r-17"))
    with (
        scripted_server(told) as server,
        ExportClient(server.address) as client,
        pytest.raises(ServerError, match=r"internal error \(request id r-17\)$"),
    ):
        client.export().to_arrow()


def test_details_that_contradict_the_status_are_not_relied_on() -> None:
    other = Status(code=Code.NOT_FOUND.value[0], message="other")
    told = EndWith(Code.INVALID_ARGUMENT, "bad", ((DETAILS_KEY, other.SerializeToString()),))
    with (
        scripted_server(told) as server,
        ExportClient(server.address) as client,
        pytest.raises(InvalidRequest, match=r"^bad$") as caught,
    ):
        client.export().to_arrow()
    assert caught.value.violations == ()


def test_no_server_there_is_told_from_one_that_went_away() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
    with ExportClient(address) as client, pytest.raises(ServerUnavailable) as caught:
        client.columns()
    assert str(caught.value) == f"no server answers at {address} — is argus-server running?"


def test_a_server_without_the_service_is_a_server_error() -> None:
    with (
        scripted_server() as server,
        ExportClient(server.address) as client,
        pytest.raises(ServerError, match=f"the server at {server.address} does not serve this"),
    ):
        client.columns()
