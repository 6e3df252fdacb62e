"""What can go wrong, as application/problem+json (RFC 9457): ONE table from the client's errors."""

import math
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import structlog
from starlette.requests import Request
from starlette.responses import JSONResponse

from argus_client import (
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
)

_URN = "urn:argus-export:problem:"
# RFC 9110, section 11.6.1: how to come again.
_CHALLENGE = {"WWW-Authenticate": "Bearer"}
_MAX_SHOWN_CHARS = 200
INTERNAL_TEXT = "internal error; the dashboard's log has more under this request id"

_log = structlog.get_logger()


@dataclass(frozen=True)
class BadParameter:
    """One parameter that does not fit: the value that was given, what is wrong with it, what is allowed."""

    parameter: str
    value: str | None
    detail: str
    allowed: str


class Problem(Exception):
    """An answer that is an error.

    kind: the end of the problem's type URI, lower case with hyphens.
    retry_after_s: when to come again; goes out as Retry-After in whole seconds, 1 or more.
    limit: the name of the one that was met.
    """

    def __init__(
        self,
        status: HTTPStatus,
        kind: str,
        detail: str,
        *,
        errors: Iterable[BadParameter] = (),
        retry_after_s: float | None = None,
        headers: Mapping[str, str] | None = None,
        limit: str | None = None,
        **members: str,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.kind = kind
        self.detail = detail
        self.errors = tuple(errors)
        self.headers = dict(headers or {})
        self._members = members if limit is None else {"limit": limit, **members}
        if retry_after_s is not None:
            self.headers["Retry-After"] = str(max(1, math.ceil(retry_after_s)))

    def to_response(self) -> JSONResponse:
        content: dict[str, Any] = {
            "type": _URN + self.kind,
            "title": self.status.phrase,
            "status": int(self.status),
            "detail": self.detail,
            "errors": [vars(error) for error in self.errors],
            **self._members,
        }
        return JSONResponse(content, self.status, headers=self.headers, media_type="application/problem+json")


def bad_parameters(errors: Iterable[BadParameter]) -> Problem:
    """400, which names every parameter that does not fit."""
    errors = tuple(errors)
    told = "; ".join(f"{error.parameter}: {error.detail}" for error in errors)
    return Problem(HTTPStatus.BAD_REQUEST, "invalid-request", told, errors=errors)


def limit_reached(limit: str, value: int, of_what: str, retry_after_s: float) -> Problem:
    """429: as much as the limit of that name allows is under way."""
    detail = f"{limit}: the limit of {value} {of_what} is reached; try again later"
    return Problem(
        HTTPStatus.TOO_MANY_REQUESTS, "limit-exceeded", detail, retry_after_s=retry_after_s, limit=limit
    )


def not_signed_in(detail: str) -> Problem:
    """401."""
    return Problem(HTTPStatus.UNAUTHORIZED, "not-signed-in", detail, headers=_CHALLENGE)


# The first row that fits an error tells it. Seconds are for Retry-After where the server names none.
_TABLE: tuple[tuple[type[ArgusClientError], HTTPStatus, str, float | None], ...] = (
    (InvalidRequest, HTTPStatus.BAD_REQUEST, "invalid-request", None),
    (NotSignedIn, HTTPStatus.UNAUTHORIZED, "not-signed-in", None),
    (NotAllowed, HTTPStatus.FORBIDDEN, "not-allowed", None),
    (ServerUnavailable, HTTPStatus.SERVICE_UNAVAILABLE, "server-unavailable", 5.0),
    (LimitExceeded, HTTPStatus.TOO_MANY_REQUESTS, "limit-exceeded", None),
    (ResumeRefused, HTTPStatus.CONFLICT, "resume-refused", None),
    (EventsMissed, HTTPStatus.GONE, "events-missed", None),
    (BrokenExport, HTTPStatus.BAD_GATEWAY, "broken-export", None),
    (ServerError, HTTPStatus.BAD_GATEWAY, "server-error", None),
)

_TOO_MUCH = HTTPStatus.UNPROCESSABLE_ENTITY

STATUSES = sorted(
    {
        *(status for _, status, _, _ in _TABLE),
        _TOO_MUCH,
        HTTPStatus.NOT_ACCEPTABLE,
        HTTPStatus.MISDIRECTED_REQUEST,
        HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
        HTTPStatus.INTERNAL_SERVER_ERROR,
    }
)
"""Those of every problem that a path that is there may answer with."""

FORM_STATUSES = (
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
)
"""Beside them, those of one that takes a form."""


def problem_of(error: ArgusClientError, errors: Iterable[BadParameter] = ()) -> Problem | None:
    """How an error of the client's is told; None for one that no request should lead to.

    errors: the error's violations, in the words of the request.
    """
    told = tuple(errors)
    if isinstance(error, LimitExceeded) and error.retry_after_s is None:
        # One that does not pass: another request is needed.
        return Problem(_TOO_MUCH, "too-much", str(error), errors=told, limit=error.limit)
    for kind, status, name, default_retry_s in _TABLE:
        if isinstance(error, kind):
            retry_after_s = getattr(error, "retry_after_s", None)
            return Problem(
                status,
                name,
                "; ".join(f"{e.parameter}: {e.detail}" for e in told) or str(error),
                errors=told,
                retry_after_s=default_retry_s if retry_after_s is None else retry_after_s,
                headers=_CHALLENGE if status == HTTPStatus.UNAUTHORIZED else None,
                limit=error.limit if isinstance(error, LimitExceeded) else None,
            )
    return None


def tell_stranger(error: ServerError | ServerUnavailable) -> Problem:
    """How it is told to who is not known to the server: it names the server, and the dashboard's own files,
    so that goes to the log."""
    problem = problem_of(error)
    assert problem is not None
    request_id = uuid.uuid4().hex
    what = "cannot be reached" if isinstance(error, ServerUnavailable) else "failed"
    _log.warning(f"the Argus server {what}", request_id=request_id, error=str(error))
    detail = f"the Argus server {what}; the dashboard's log has more under the request id {request_id}"
    return Problem(problem.status, problem.kind, detail, headers=problem.headers, requestId=request_id)


def problem_of_status(status: int, request: Request, headers: Mapping[str, str] | None) -> Problem:
    """How an answer is told that is nothing but a status."""
    match HTTPStatus(status):
        case HTTPStatus.NOT_FOUND:
            detail = f"there is nothing at {shortened(request.url.path)}"
        case HTTPStatus.METHOD_NOT_ALLOWED:
            allowed = (headers or {}).get("Allow", "")
            method, path = shortened(request.method), shortened(request.url.path)
            detail = f"{method} is not allowed at {path}; allowed: {allowed}"
        case other:
            detail = other.phrase
    kind = HTTPStatus(status).phrase.lower().replace(" ", "-")
    return Problem(HTTPStatus(status), kind, detail, headers=headers)


def shortened(text: str) -> str:
    """What a caller sent, as an error tells it: nothing of any length."""
    return text if len(text) <= _MAX_SHOWN_CHARS else f"{text[:_MAX_SHOWN_CHARS]}… ({len(text)} characters)"
