"""What stands around every request: its name and origin are checked, its answer guarded, its failure told."""

import uuid
from collections.abc import Mapping
from http import HTTPStatus
from urllib.parse import urlsplit

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from argus_client import NotSignedIn
from argus_client.transport import is_loopback_host
from argus_dashboard.callers import known_caller
from argus_dashboard.config import Config
from argus_dashboard.problems import INTERNAL_TEXT, Problem
from argus_dashboard.sessions import Sessions
from argus_dashboard.streaming import AnswerBroken

_HSTS = "max-age=31536000"
_HEADERS: Mapping[str, str] = {
    # Plotly sets styles on its elements, and its "download as image" makes data: and blob: images.
    "Content-Security-Policy": "default-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; object-src 'none'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # With no-referrer the page's own forms would be from Origin: null.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}

MAX_HEAD_BYTES = 32 * 1024
"""Of a request's line and fields."""

_READING = frozenset({"GET", "HEAD", "OPTIONS"})

_log = structlog.get_logger()


class Guarded:
    """Gives every answer the headers that keep browsers strict, and tells of unknown errors nothing but
    an id, under which the log has all."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        has_started = False

        async def send_guarded(message: Message) -> None:
            nonlocal has_started
            if message["type"] == "http.response.start":
                has_started = True
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                if "Cache-Control" not in headers:
                    # What is the same to all says so itself; the rest is one person's.
                    headers["Cache-Control"] = "private, no-store"
                    for name in ("Cookie", "Authorization"):
                        headers.add_vary_header(name)
                if scope["scheme"] == "https" and not _is_called_localhost(scope):
                    headers["Strict-Transport-Security"] = _HSTS
            await send(message)

        try:
            await self._app(scope, receive, send_guarded)
        except Exception:
            if has_started:
                raise
            request_id = uuid.uuid4().hex
            _log.exception("request failed", path=scope["path"], request_id=request_id)
            problem = Problem(
                HTTPStatus.INTERNAL_SERVER_ERROR, "internal", INTERNAL_TEXT, requestId=request_id
            )
            await problem.to_response()(scope, receive, send_guarded)


class BoundedHead:
    """Refuses requests whose head has more than MAX_HEAD_BYTES: the connection bounds what it waits for."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        target_bytes = len(scope["raw_path"]) + len(scope["query_string"])
        field_bytes = sum(len(name) + len(value) + 4 for name, value in scope["headers"])
        if target_bytes + field_bytes <= MAX_HEAD_BYTES:
            await self._app(scope, receive, send)
            return
        problem = Problem(
            HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
            "too-large",
            f"the request's head is too large; allowed: {MAX_HEAD_BYTES} bytes",
            headers={"Connection": "close"},
        )
        await problem.to_response()(scope, receive, send)


class CheckedHost:
    """Refuses requests that call the dashboard by a name that is not its own.

    A page from elsewhere may have its name resolve to this machine ("DNS rebinding"), and would then
    read all events as the dashboard's own page does; the Host field gives it away.
    """

    def __init__(self, app: ASGIApp, config: Config) -> None:
        self._app = app
        self._takes_local = config.is_local
        self._takes_any = not config.is_local and not config.allow_hosts
        self._names = {name.lower() for name in config.allow_hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        host = Headers(scope=scope).get("host")
        # Only HTTP/1.0 may leave it out, which no browser speaks.
        if host is None or self._is_own(host):
            await self._app(scope, receive, send)
            return
        problem = Problem(
            HTTPStatus.MISDIRECTED_REQUEST,
            "unknown-host",
            f"this dashboard is not called {host[:200]!r}; --allow-host NAME lets it be called so",
        )
        await problem.to_response()(scope, receive, send)

    def _is_own(self, host: str) -> bool:
        name = _name_in(host)
        return self._takes_any or name in self._names or (self._takes_local and is_loopback_host(name))


class CheckedOrigin:
    """Refuses requests that another site's page makes a browser send, but for those that only read.

    Sec-Fetch-Site is the browser's own word; where it has none, as over plain HTTP, Origin must name the
    host that is called. What sends neither is no browser, and has no cookie that it was not given.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        if scope["method"] in _READING or _is_same_origin(headers):
            await self._app(scope, receive, send)
            return
        problem = Problem(
            HTTPStatus.FORBIDDEN,
            "cross-origin",
            f"{scope['method']} is only taken from the dashboard's own pages, and from programs",
            headers={"Connection": "close"},
        )
        await problem.to_response()(scope, receive, send)


class EndedSessions:
    """Ends a session when the server does not take its token any more."""

    def __init__(self, app: ASGIApp, sessions: Sessions) -> None:
        self._app = app
        self._sessions = sessions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_ending(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == HTTPStatus.UNAUTHORIZED:
                self._end(scope)
            await send(message)

        try:
            await self._app(scope, receive, send_ending)
        except AnswerBroken as error:
            if isinstance(error.__cause__, NotSignedIn):
                self._end(scope)
            raise

    def _end(self, scope: Scope) -> None:
        session = known_caller(scope).session
        if session is not None:
            self._sessions.end(session)


def _is_same_origin(headers: Headers) -> bool:
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site is not None:
        # none: the person, not a page.
        return site in ("same-origin", "none")
    # The scheme is left out: behind a proxy that speaks HTTPS the dashboard does not know it.
    return origin is None or urlsplit(origin).netloc.lower() == headers.get("host", "").lower()


def _is_called_localhost(scope: Scope) -> bool:
    """Whether Strict-Transport-Security would be of all ports of localhost, whoever has them."""
    name = _name_in(Headers(scope=scope).get("host", ""))
    return name == "localhost" or name.endswith(".localhost")


def _name_in(host: str) -> str:
    """The name in a Host field, in lower case."""
    name, _, port = host.rpartition(":")
    if not name or not port.isdecimal():
        name = host
    return name.removeprefix("[").removesuffix("]").lower()
