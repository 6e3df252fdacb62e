"""Signing in and out: a token for a session cookie, and who is signed in."""

import html
import re
from collections.abc import Mapping
from functools import cache
from http import HTTPStatus
from pathlib import Path
from string import Template

from starlette.endpoints import HTTPEndpoint
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from argus_client import ArgusClientError, ExportClient, NotAllowed, NotSignedIn
from argus_dashboard.callers import (
    Caller,
    caller_of,
    cookie_name,
    is_token,
    name_of,
    no_session_cookie,
    session_cookie,
)
from argus_dashboard.forms import read_form
from argus_dashboard.gateway import Gateway
from argus_dashboard.parameters import Parameter, parse_query, shown
from argus_dashboard.problems import Problem, not_signed_in, problem_of
from argus_dashboard.sessions import Sessions
from argus_dashboard.tries import Tries

# What a browser may make another host of: //host, /\host, and such with a tab or line break in it.
_LOCAL_PATH = re.compile(r"/(?![/\\])[\x21-\x5b\x5d-\x7e]*")
_TEMPLATE = Path(__file__).parent / "sign-in.html"


def _parse_next(text: str) -> str:
    if not _LOCAL_PATH.fullmatch(text):
        raise ValueError(f"{shown(text)} is not allowed; allowed: a path here, such as /?last=1h")
    return text


NEXT_PARAMETER = Parameter(
    "next",
    _parse_next,
    "Where to go then: a path of this dashboard.",
    {"type": "string", "pattern": r"^/([!-.0-\[\]-~][!-\[\]-~]*)?$"},
    default="/",
)
SIGN_IN_PARAMETERS = (NEXT_PARAMETER,)


class SignIn(HTTPEndpoint):
    """/login."""

    async def get(self, request: Request) -> Response:
        """The form."""
        values = parse_query(request.scope["query_string"], SIGN_IN_PARAMETERS)
        return _page(values["next"])

    async def post(self, request: Request) -> Response:
        """Begins a session for a token that the server takes."""
        parse_query(request.scope["query_string"], ())
        return await _sign_in(request, await read_form(request, ("token", "next")))


async def _sign_in(request: Request, form: Mapping[str, str]) -> Response:
    token = form.get("token", "").strip()
    try:
        next_path = _parse_next(form.get("next", "/"))
    except ValueError as error:
        raise Problem(HTTPStatus.BAD_REQUEST, "invalid-request", f"next: {error}") from None
    try:
        await _check(request, token)
    except Problem as problem:
        # Programs get the same as everywhere, people the form again.
        if "text/html" not in request.headers.get("accept", ""):
            raise
        return _page(next_path, problem)
    sessions: Sessions = request.app.state.sessions
    _end_session(request)
    response = _see(next_path)
    response.headers["Set-Cookie"] = session_cookie(request.url.scheme, sessions.begin(token))
    return response


async def sign_out(request: Request) -> Response:
    """POST /logout: ends the session."""
    parse_query(request.scope["query_string"], ())
    await read_form(request, ())
    _end_session(request)
    response = _see("/login")
    response.headers["Set-Cookie"] = no_session_cookie(request.url.scheme)
    return response


async def signed_in(request: Request) -> Response:
    """GET /api/session: who is signed in."""
    parse_query(request.scope["query_string"], ())
    session = caller_of(request).session
    name = None if session is None else name_of(session.token)
    return JSONResponse({"signedIn": session is not None, "name": name})


async def _check(request: Request, token: str) -> None:
    """Raises a Problem for a token that the server does not take, and for whoever tries too many."""
    if not is_token(token):
        raise not_signed_in("this is not a token: one has letters, digits and - . _ ~ + / =, and no spaces")
    gateway: Gateway = request.app.state.gateway
    tries: Tries = request.app.state.sign_in_tries
    attempt = tries.count(request.client.host if request.client else "", token)
    try:
        await gateway.call(Caller(token), ExportClient.columns)
    except NotSignedIn:
        raise not_signed_in("the server does not take this token: it is wrong, expired or revoked") from None
    except NotAllowed:
        # It is somebody's, whose role has no columns: the page will say so.
        pass
    except ArgusClientError as error:
        problem = problem_of(error)
        if problem is None:
            raise
        raise problem from error
    tries.take_back(attempt)


def _end_session(request: Request) -> None:
    sessions: Sessions = request.app.state.sessions
    id = request.cookies.get(cookie_name(request.url.scheme))
    if id and (found := sessions.find(id)):
        sessions.end(found)


def _see(path: str) -> Response:
    return Response(status_code=HTTPStatus.SEE_OTHER, headers={"Location": path})


_TITLES: Mapping[HTTPStatus, str] = {
    HTTPStatus.UNAUTHORIZED: "This did not work.",
    HTTPStatus.FORBIDDEN: "This dashboard is not ready for you.",
    HTTPStatus.TOO_MANY_REQUESTS: "Too many tries.",
    HTTPStatus.SERVICE_UNAVAILABLE: "The Argus server does not answer.",
}


def _page(next_path: str, problem: Problem | None = None) -> Response:
    told = ""
    if problem is not None:
        title = _TITLES.get(problem.status, problem.status.phrase)
        told = (
            f'<p class="problem" id="problem" role="alert"><strong>{html.escape(title)}</strong> '
            f"{html.escape(_sentence(problem.detail))}</p>"
        )
    text = _template().substitute(
        next=html.escape(next_path),
        problem=told,
        state=' aria-invalid="true" aria-describedby="problem hint"' if told else ' aria-describedby="hint"',
    )
    status = HTTPStatus.OK if problem is None else problem.status
    return HTMLResponse(text, status, headers=problem.headers if problem else None)


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith('.') else '.'}"


@cache
def _template() -> Template:
    return Template(_TEMPLATE.read_text())
