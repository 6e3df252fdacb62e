"""How errors of the client's are told over HTTP."""

import json

import pytest

from argus_client import (
    ArgusClientError,
    BrokenExport,
    EventsMissed,
    InvalidRequest,
    LimitExceeded,
    NotAllowed,
    NotSignedIn,
    OutputError,
    ResumeRefused,
    ServerError,
    ServerUnavailable,
)
from argus_dashboard.problems import STATUSES, problem_of


@pytest.mark.parametrize(
    ("error", "status", "kind", "retry_after"),
    [
        (InvalidRequest("x"), 400, "invalid-request", None),
        (NotSignedIn("x"), 401, "not-signed-in", None),
        (NotAllowed("x"), 403, "not-allowed", None),
        (ServerUnavailable("x"), 503, "server-unavailable", "5"),
        (ServerUnavailable("x", 12.1), 503, "server-unavailable", "13"),
        (LimitExceeded("x", 0.2), 429, "limit-exceeded", "1"),
        (LimitExceeded("x"), 422, "too-much", None),
        (ResumeRefused("x"), 409, "resume-refused", None),
        (EventsMissed("x"), 410, "events-missed", None),
        (BrokenExport("x"), 502, "broken-export", None),
        (ServerError("x"), 502, "server-error", None),
    ],
)
def test_table(error: ArgusClientError, status: int, kind: str, retry_after: str | None) -> None:
    problem = problem_of(error)
    assert problem is not None
    response = problem.to_response()
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers.get("retry-after") == retry_after
    assert response.headers.get("www-authenticate") == ("Bearer" if status == 401 else None)
    body = json.loads(bytes(response.body))
    assert (body["type"], body["status"]) == (f"urn:argus-export:problem:{kind}", status)
    assert (body["detail"], body["errors"]) == ("x", [])
    assert status in STATUSES


@pytest.mark.parametrize("retry_after_s", [0.2, None])
def test_a_limit_is_named(retry_after_s: float | None) -> None:
    problem = problem_of(LimitExceeded("x", retry_after_s, limit="requests_per_minute"))
    assert problem is not None
    assert json.loads(bytes(problem.to_response().body))["limit"] == "requests_per_minute"


def test_what_no_request_should_lead_to_is_none_of_them() -> None:
    assert problem_of(OutputError("x")) is None
