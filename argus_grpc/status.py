"""The one table of how each domain error is told to a caller: code, reason, details."""

from collections.abc import Callable, Mapping

from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc.code_pb2 import Code
from google.rpc.error_details_pb2 import (
    BadRequest,
    ErrorInfo,
    PreconditionFailure,
    QuotaFailure,
    RequestInfo,
    RetryInfo,
)
from google.rpc.status_pb2 import Status

from argus_grpc import errors

DOMAIN = "argus_grpc.v1"
INTERNAL_TEXT = "internal error; the server's log has more under this request id"


def _no_details(_: errors.ArgusError) -> list[Message]:
    return []


def _bad_field(error: errors.ArgusError) -> list[Message]:
    assert isinstance(error, errors.InvalidField | errors.SumOverflow)
    reason = _TABLE[type(error)][1]
    violation = BadRequest.FieldViolation(field=error.field, description=error.description, reason=reason)
    return [BadRequest(field_violations=[violation])]


def _not_permitted(error: errors.ArgusError) -> list[Message]:
    assert isinstance(error, errors.NotPermitted)
    if error.field is None:
        return []
    violation = BadRequest.FieldViolation(
        field=error.field, description=error.description, reason="NOT_PERMITTED"
    )
    return [BadRequest(field_violations=[violation])]


def _bad_token(error: errors.ArgusError) -> list[Message]:
    violation = BadRequest.FieldViolation(
        field="resume_token", description=str(error), reason="INVALID_TOKEN"
    )
    return [BadRequest(field_violations=[violation])]


def _precondition(type_: str, subject: str) -> Callable[[errors.ArgusError], list[Message]]:
    def details(error: errors.ArgusError) -> list[Message]:
        violation = PreconditionFailure.Violation(type=type_, subject=subject, description=str(error))
        return [PreconditionFailure(violations=[violation])]

    return details


def _quota(error: errors.ArgusError) -> list[Message]:
    assert isinstance(error, errors.Exhausted | errors.TooLarge)
    return [QuotaFailure(violations=[QuotaFailure.Violation(subject=error.what, description=str(error))])]


def _exhausted(error: errors.ArgusError) -> list[Message]:
    return [*_quota(error), *_retry(error)]


def _retry(error: errors.ArgusError) -> list[Message]:
    assert isinstance(error, errors.Exhausted | errors.KeysUnavailable | errors.AccessChanged)
    retry_delay = Duration()
    retry_delay.FromMilliseconds(round(error.retry_after_s * 1000))
    return [RetryInfo(retry_delay=retry_delay)]


_Row = tuple["Code.ValueType", str, Callable[[errors.ArgusError], list[Message]]]

_TABLE: Mapping[type[errors.ArgusError], _Row] = {
    errors.InvalidField: (Code.INVALID_ARGUMENT, "INVALID_FIELD", _bad_field),
    errors.NotAuthenticated: (Code.UNAUTHENTICATED, "NOT_AUTHENTICATED", _no_details),
    errors.NotPermitted: (Code.PERMISSION_DENIED, "NOT_PERMITTED", _not_permitted),
    errors.KeysUnavailable: (Code.UNAVAILABLE, "KEYS_UNAVAILABLE", _retry),
    errors.AccessChanged: (Code.UNAVAILABLE, "ACCESS_CHANGED", _retry),
    errors.InvalidToken: (Code.INVALID_ARGUMENT, "INVALID_TOKEN", _bad_token),
    errors.TokenExpired: (
        Code.FAILED_PRECONDITION,
        "TOKEN_EXPIRED",
        _precondition("TOKEN_EXPIRED", "resume_token"),
    ),
    errors.EventsRemoved: (
        Code.FAILED_PRECONDITION,
        "EVENTS_REMOVED",
        _precondition("EVENTS_REMOVED", "events"),
    ),
    errors.EventsMissed: (
        Code.FAILED_PRECONDITION,
        "EVENTS_REMOVED",
        _precondition("EVENTS_REMOVED", "query.after_sequence"),
    ),
    errors.OutOfReach: (
        Code.FAILED_PRECONDITION,
        "OUT_OF_REACH",
        _precondition("OUT_OF_REACH", "events"),
    ),
    errors.LimitReached: (Code.RESOURCE_EXHAUSTED, "LIMIT_REACHED", _exhausted),
    errors.StoreFull: (Code.RESOURCE_EXHAUSTED, "STORE_FULL", _exhausted),
    errors.TooLarge: (Code.RESOURCE_EXHAUSTED, "TOO_LARGE", _quota),
    errors.SumOverflow: (Code.OUT_OF_RANGE, "SUM_OVERFLOW", _bad_field),
    errors.Cancelled: (Code.CANCELLED, "CANCELLED", _no_details),
    errors.StoreUnavailable: (Code.UNAVAILABLE, "STORE_UNAVAILABLE", _no_details),
}


def status_of(error: Exception, request_id: str) -> Status:
    """What the caller is told. An error that is not in the table tells nothing of itself."""
    row = _TABLE.get(type(error)) if isinstance(error, errors.ArgusError) else None
    if row is None:
        return _status(Code.INTERNAL, INTERNAL_TEXT, "INTERNAL", request_id, [])
    code, reason, details = row
    return _status(code, str(error), reason, request_id, details(error))  # type: ignore[arg-type]


def _status(
    code: "Code.ValueType", message: str, reason: str, request_id: str, details: list[Message]
) -> Status:
    packed = []
    for detail in [ErrorInfo(reason=reason, domain=DOMAIN), *details, RequestInfo(request_id=request_id)]:
        any_ = Any()
        any_.Pack(detail)
        packed.append(any_)
    return Status(code=code, message=message, details=packed)
