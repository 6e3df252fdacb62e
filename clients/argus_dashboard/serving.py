"""The HTTP server's life, and how a connection ends when its answer is broken."""

import asyncio
import logging
import signal
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from argus_dashboard.app import make_app
from argus_dashboard.config import Config
from argus_dashboard.streaming import RESET


class _Connection(H11Protocol):
    """A connection that a request may reset."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        app = self.app

        async def with_reset(scope: Scope, receive: Receive, send: Send) -> None:
            scope.setdefault("extensions", {})[RESET] = self._reset
            await app(scope, receive, send)

        self.app = with_reset

    def _reset(self) -> None:
        connection = self.transport.get_extra_info("socket")
        if connection is not None and not self.transport.is_closing():
            # Without lingering, close() sends RST instead of FIN.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()


class _Server(uvicorn.Server):
    """Says when it is ready, and ends at a signal with exit code 0, as argus-server does."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None], on_stop: Callable[[], None]):
        super().__init__(config)
        self._on_ready = on_ready
        self._on_stop = on_stop

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_ready()

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
        http=_Connection,
        ws="none",
        lifespan="off",
        loop="asyncio",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=max(1, round(config.shutdown_grace_s)),
    )
    with gateway:
        _Server(settings, on_ready, gateway.is_stopping.set).run(sockets=[listener])
