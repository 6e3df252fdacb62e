"""The channel to one server, and its errors in this library's words.

Decisions use status codes and google.rpc details, never message text.
"""

from collections.abc import Iterator
from typing import Any, NoReturn, Protocol, TypeVar, cast

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
from argus_client.tokens import TokenSource, current_token
from argus_client.transport import Tls, choose_tls, open_channel
from argus_grpc.v1.export_pb2_grpc import ExportServiceStub
from argus_grpc.v1.ingest_pb2_grpc import IngestServiceStub

_CHANNEL_OPTIONS = (
    # A peer that vanished without a word is noticed within 80 s, in a quiet stream too.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.http2.max_pings_without_data", 0),
    # While the channel waits, calls fail without a try; how long to wait is the retry rule's to say.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 5_000),
    # A connection of its own: on a shared one a stream that is not read would hold up the others.
    ("grpc.use_local_subchannel_pool", 1),
)

_Response = TypeVar("_Response")
_Response_co = TypeVar("_Response_co", covariant=True)


class MessageStream(Protocol[_Response_co]):
    """The messages of a call, which can be called off."""

    def __iter__(self) -> Iterator[_Response_co]: ...
    def cancel(self) -> object: ...


class Method(Protocol[_Response_co]):
    """A method of a stub."""

    def __call__(self, request: Any, /, *, metadata: tuple[tuple[str, str], ...]) -> _Response_co: ...


class Channel:
    """A channel to the server at `target`. It connects when the first call is made."""

    def __init__(self, target: str, tls: Tls | None) -> None:
        self.target = target
        self.has_answered = False
        self._channel = open_channel(target, tls, _CHANNEL_OPTIONS)
        self.exports = ExportServiceStub(self._channel)
        self.ingests = IngestServiceStub(self._channel)

    def close(self) -> None:
        self._channel.close()


class Connection:
    """Calls to the server at the channel's end, in the name of whoever the token says. Several may share
    a channel."""

    def __init__(self, channel: Channel, token: TokenSource | None = None) -> None:
        current_token(None if callable(token) else token)
        self._channel = channel
        self._token = token

    @classmethod
    def open(
        cls, target: str, *, token: TokenSource | None = None, tls: Tls | None = None, insecure: bool = False
    ) -> "Connection":
        """One with a channel of its own. Raises InvalidRequest."""
        return cls(Channel(target, choose_tls(target, tls, insecure=insecure)), token)

    def as_caller(self, token: TokenSource | None) -> "Connection":
        """One that shares the channel, and calls in another name. Raises InvalidRequest."""
        return Connection(self._channel, token)

    @property
    def exports(self) -> ExportServiceStub:
        return self._channel.exports

    @property
    def ingests(self) -> IngestServiceStub:
        return self._channel.ingests

    @property
    def has_answered(self) -> bool:
        """Whether the server has ever answered; if not, the address may be wrong."""
        return self._channel.has_answered

    def close(self) -> None:
        """Closes the channel; calls that are under way end as cancelled."""
        self._channel.close()

    def call(self, method: Method[_Response], request: object) -> _Response:
        """The answer to a unary call. Raises an ArgusClientError."""
        try:
            response = method(request, metadata=self._metadata())
        except grpc.RpcError as error:
            self._raise_for(error)
        self._channel.has_answered = True
        return response

    def begin(self, method: Method[_Response], request: object) -> _Response:
        """The stream of a call. Raises InvalidRequest if the token cannot be one."""
        return method(request, metadata=self._metadata())

    def messages(self, stream: MessageStream[_Response]) -> Iterator[_Response]:
        """The messages of a stream until its status is OK. Raises an ArgusClientError."""
        messages = iter(stream)
        while True:
            try:
                message = next(messages)
            except StopIteration:
                return
            except grpc.RpcError as error:
                self._raise_for(error)
            self._channel.has_answered = True
            yield message

    def _metadata(self) -> tuple[tuple[str, str], ...]:
        token = current_token(self._token)
        return () if token is None else (("authorization", f"Bearer {token}"),)

    def _raise_for(self, error: grpc.RpcError) -> NoReturn:
        raise _to_client_error(error, self._channel.target, has_answered=self.has_answered) from error


def _to_client_error(error: grpc.RpcError, target: str, *, has_answered: bool) -> ArgusClientError:
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
