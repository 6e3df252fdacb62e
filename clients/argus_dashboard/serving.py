"""The HTTP server's life, and how a connection ends when its answer is broken."""

import asyncio
import logging
import signal
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

import h11
import pyarrow as pa
import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from argus_dashboard.app import make_app
from argus_dashboard.certificates import ReloadedCertificate
from argus_dashboard.config import Config
from argus_dashboard.middleware import MAX_HEAD_BYTES
from argus_dashboard.problems import Problem
from argus_dashboard.streaming import RESET


class _Connection(H11Protocol):
    """A connection that a request may reset, and that ends when a request's head does not come in time."""

    request_timeout_s: float
    _head_timer: asyncio.TimerHandle | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        app = self.app

        async def with_reset(scope: Scope, receive: Receive, send: Send) -> None:
            scope.setdefault("extensions", {})[RESET] = self._reset
            await app(scope, receive, send)

        self.app = with_reset

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_head()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        # Without a whole head they have not begun; and when all is answered, nobody waits for a body's rest.
        is_late = self.conn.their_state is h11.IDLE or self.conn.our_state is h11.DONE
        if is_late and not self.transport.is_closing():
            self._await_head()
        else:
            self._stop_waiting()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def _await_head(self) -> None:
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(self.request_timeout_s, self.transport.abort)

    def _stop_waiting(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - it says less than ours
        """Tells it as all else that is refused."""
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.abort()
            return
        problem = Problem(
            HTTPStatus.BAD_REQUEST,
            "malformed-request",
            f"this is no HTTP request, or its head has more than {MAX_HEAD_BYTES} bytes",
        ).to_response()
        headers = [*problem.raw_headers, (b"connection", b"close")]
        for event in (
            h11.Response(status_code=problem.status_code, headers=headers, reason=b"Bad Request"),
            h11.Data(data=bytes(problem.body)),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def _reset(self) -> None:
        connection = self.transport.get_extra_info("socket")
        if connection is not None and not self.transport.is_closing():
            # Without lingering, close() sends RST instead of FIN.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()


class _Server(uvicorn.Server):
    """Says when it is ready, and ends at a signal with exit code 0, as argus-server does."""

    def __init__(
        self,
        config: uvicorn.Config,
        on_ready: Callable[[], None],
        on_stop: Callable[[], None],
        certificate: ReloadedCertificate | None,
    ) -> None:
        super().__init__(config)
        self._certificate = certificate
        self._watching: asyncio.Task[None] | None = None
        self._on_ready = on_ready
        self._on_stop = on_stop

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self._certificate is not None:
            self._watching = asyncio.create_task(self._certificate.watch())
        self._on_ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self._watching is not None:
            self._watching.cancel()
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        numbers = (signal.SIGINT, signal.SIGTERM)
        for number in numbers:
            loop.add_signal_handler(number, self._stop)
        try:
            yield
        finally:
            for number in numbers:
                loop.remove_signal_handler(number)

    def _stop(self) -> None:
        self.force_exit = self.should_exit
        self.should_exit = True
        self._on_stop()


def serve(config: Config, listener: socket.socket, on_ready: Callable[[], None]) -> None:
    """Serves until SIGINT or SIGTERM; then running downloads get the grace time. A second signal ends
    them at once."""
    # Arrow's own allocator keeps several megabytes for every thread that ever used it.
    pa.set_memory_pool(pa.system_memory_pool())
    app, gateway = make_app(config)
    # What it has to say is said by our own log; a broken answer it would show with a traceback.
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    settings = uvicorn.Config(
        app,
        http=type("_OurConnection", (_Connection,), {"request_timeout_s": config.request_timeout_s}),
        ws="none",
        lifespan="off",
        loop="asyncio",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=max(1, round(config.shutdown_grace_s)),
        h11_max_incomplete_event_size=MAX_HEAD_BYTES,
    )
    certificate = None
    if config.tls_cert is not None and config.tls_key is not None:
        certificate = ReloadedCertificate(config.tls_cert, config.tls_key)
        settings.load()
        settings.ssl = certificate.listening
    with gateway:
        server = _Server(settings, on_ready, gateway.is_stopping.set, certificate)
        server.run(sockets=[listener])
