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
    body = json.loads(bytes(response.body))
    assert (body["type"], body["status"]) == (f"urn:argus-export:problem:{kind}", status)
    assert (body["detail"], body["errors"]) == ("x", [])
    assert status in STATUSES


def test_what_no_request_should_lead_to_is_none_of_them() -> None:
    assert problem_of(OutputError("x")) is None
