"""What a call's failure means, in this library's words.

Decisions use status codes and google.rpc details, never message text.
"""

from typing import TypeVar, cast

import grpc
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import (
    BadRequest,
    PreconditionFailure,
    QuotaFailure,
    RequestInfo,
    RetryInfo,
)
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

from argus_client.errors import (
    ArgusClientError,
    BrokenExport,
    EventsMissed,
    InvalidRequest,
    LimitExceeded,
    NotAllowed,
    NotSignedIn,
    ResumeRefused,
    ServerError,
    ServerUnavailable,
    Violation,
)
from argus_client.query import ARGUMENTS, invalid_request, tell_violations


def to_client_error(error: grpc.RpcError, target: str, *, has_answered: bool) -> ArgusClientError:
    """The error that a call to the server at `target` ended with."""
    # What grpc raises for a call is the call as well.
    call = cast(grpc.Call, error)
    code, message = call.code(), call.details() or call.code().name
    details = _rich_status(call)
    match code:
        case grpc.StatusCode.INVALID_ARGUMENT | grpc.StatusCode.OUT_OF_RANGE:
            violations = _violations(details)
            if any(violation.field == "resume_token" for violation in violations):
                told = "; ".join(violation.description for violation in violations)
                return ResumeRefused(
                    f"the server at {target} cannot go on with the export: {told}; go on at the server that "
                    "began it, with the same request, or start the export anew"
                )
            return invalid_request(violations) if violations else InvalidRequest(message)
        case grpc.StatusCode.UNAUTHENTICATED:
            return NotSignedIn(message)
        case grpc.StatusCode.PERMISSION_DENIED:
            violations = _violations(details)
            return NotAllowed("; ".join(tell_violations(violations, ARGUMENTS)) or message, violations)
        case grpc.StatusCode.UNAVAILABLE if details is not None:
            return ServerUnavailable(
                f"the server at {target} is not available: {message}", _retry_after_s(details)
            )
        case grpc.StatusCode.UNAVAILABLE if has_answered:
            return ServerUnavailable(f"the server at {target} went away")
        case grpc.StatusCode.UNAVAILABLE:
            return ServerUnavailable(f"no server answers at {target} — is argus-server running?")
        case grpc.StatusCode.RESOURCE_EXHAUSTED:
            limit = _limit(details)
            named = f"{limit}: {message}" if limit not in message else message
            return LimitExceeded(named, _retry_after_s(details), limit=limit or None)
        case grpc.StatusCode.FAILED_PRECONDITION:
            if missed := _missed(details):
                return EventsMissed("; ".join(tell_violations(missed, ARGUMENTS)), missed)
            return ResumeRefused(message)
        case grpc.StatusCode.DATA_LOSS:
            return BrokenExport(message)
        case grpc.StatusCode.UNIMPLEMENTED:
            return ServerError(f"the server at {target} does not serve this: {message}")
        case grpc.StatusCode.CANCELLED:
            return ServerError(f"the call was cancelled: {message}")
        case _:
            return ServerError(f"the server at {target} failed: {message}{_request_id(details)}")


def is_from_transport(error: grpc.RpcError) -> bool:
    """Whether there was no connection, or none any more, rather than a server that says so."""
    call = cast(grpc.Call, error)
    return call.code() is grpc.StatusCode.UNAVAILABLE and _rich_status(call) is None


def _rich_status(call: grpc.Call) -> Status | None:
    try:
        status: Status | None = rpc_status.from_call(call)
    except ValueError:
        # Details that contradict the call's own status are not to be relied on.
        return None
    return status


def _violations(details: Status | None) -> tuple[Violation, ...]:
    bad_request = _detail(details, BadRequest())
    return tuple(Violation(v.field, v.description) for v in bad_request.field_violations)


def _missed(details: Status | None) -> tuple[Violation, ...]:
    failure = _detail(details, PreconditionFailure())
    return tuple(
        Violation(v.subject, v.description)
        for v in failure.violations
        if v.type == "EVENTS_REMOVED" and v.subject == "query.after_sequence"
    )


def _limit(details: Status | None) -> str:
    return ", ".join(v.subject for v in _detail(details, QuotaFailure()).violations)


def _retry_after_s(details: Status | None) -> float | None:
    retry_info = _detail(details, RetryInfo())
    if not retry_info.HasField("retry_delay"):
        return None
    return max(0.0, float(retry_info.retry_delay.ToNanoseconds()) / 1e9)


def _request_id(details: Status | None) -> str:
    request_id = _detail(details, RequestInfo()).request_id
    return f" (request id {request_id})" if request_id else ""


_Detail = TypeVar("_Detail", bound=Message)


def _detail(details: Status | None, into: _Detail) -> _Detail:
    """The first detail of that kind; the message stays empty if there is none."""
    for detail in details.details if details is not None else ():
        if detail.Unpack(into):
            break
    return into
