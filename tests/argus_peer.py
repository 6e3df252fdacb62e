"""A peer that plays a running Argus server: its WebSocket, and its ring of the last 100 events."""

import json
import socket
import ssl
import threading
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, Self

from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

STATE_UPDATE = json.dumps({"type": "THREAD_STATE_UPDATE", "counts": {"running": 0}, "threads": []})
START_NS = 1_704_067_200_000_000_000


def thread_start(number: int, **more: Any) -> dict[str, Any]:
    """The START of thread `number`, so many nanoseconds after START_NS."""
    instant = f"2024-01-01T00:00:00.{number:09}Z"
    return {"type": "START", "threadId": number, "timestamp": instant} | more


class ArgusPeer:
    """On a free loopback port, over TLS with a context for it; to whoever connects it sends a state update
    and the ring."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.connects = 0
        self._ring: deque[str] = deque(maxlen=100)
        self._clients: set[ServerConnection] = set()
        self._lock = threading.Lock()
        self._server = serve(self._handle, "127.0.0.1", 0, compression=None, ssl=tls)
        scheme = "ws" if tls is None else "wss"
        self.url = f"{scheme}://127.0.0.1:{self._server.socket.getsockname()[1]}/events"
        self._serving = threading.Thread(target=self._server.serve_forever)

    def __enter__(self) -> Self:
        self._serving.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self.cut()
        self._serving.join()

    @property
    def is_connected(self) -> bool:
        return bool(self._clients)

    def happen(self, events: Iterable[dict[str, Any]]) -> None:
        """Events: kept in the ring, and sent to whoever is connected."""
        for event in events:
            with self._lock:
                text = json.dumps(event)
                self._ring.append(text)
                self._send(text)

    def send(self, *messages: str | bytes, text: bool | None = None) -> None:
        """Anything else: sent, and not kept."""
        with self._lock:
            for message in messages:
                self._send(message, text)

    def cut(self) -> None:
        """Drops all connections, without a word."""
        with self._lock:
            for client in self._clients:
                with suppress(OSError):
                    client.socket.shutdown(socket.SHUT_RDWR)
            self._clients.clear()

    def _send(self, message: str | bytes, text: bool | None = None) -> None:
        for client in list(self._clients):
            try:
                client.send(message, text=text)
            except ConnectionClosed:
                self._clients.discard(client)

    def _handle(self, connection: ServerConnection) -> None:
        with suppress(ConnectionClosed):
            with self._lock:
                self.connects += 1
                for message in (STATE_UPDATE, *self._ring):
                    connection.send(message)
                self._clients.add(connection)
            for _ in connection:
                pass
        with self._lock:
            self._clients.discard(connection)
