"""What stands around every request: its name is checked, its answer guarded, its failure told."""

import uuid
from collections.abc import Mapping
from http import HTTPStatus

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from argus_dashboard.config import Config, is_loopback_host
from argus_dashboard.problems import INTERNAL_TEXT, Problem

_HEADERS: Mapping[str, str] = {
    # Plotly sets styles on its elements, and its "download as image" makes data: and blob: images.
    "Content-Security-Policy": "default-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; object-src 'none'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}

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
        name, _, port = host.rpartition(":")
        if not name or not port.isdecimal():
            name = host
        name = name.removeprefix("[").removesuffix("]").lower()
        return self._takes_any or name in self._names or (self._takes_local and is_loopback_host(name))
