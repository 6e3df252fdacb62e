"""A running Argus server's WebSocket, received for ever."""

import random
import ssl
import threading
import urllib.parse
from collections.abc import Callable, Iterable

from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.frames import CloseCode
from websockets.sync.client import ClientConnection, connect

from argus_client.collect.argus_messages import Message, read_message
from argus_client.collect.batching import MAX_BATCH_AGE_S, Batcher
from argus_client.collect.counts import Counts
from argus_client.collect.replay import ReplayFilter
from argus_client.collect.spool import Spool
from argus_client.retry import Backoff

MAX_MESSAGE_BYTES = 64 * 1024 * 1024
"""The largest message that is received: a state update lists all threads, 15 MB for 100,000 of them."""

# Short waits: what happens meanwhile, beyond 100 events, is gone.
_BACKOFF = Backoff(first_s=0.2, max_s=5.0)
_ODD_CLOSES = {
    CloseCode.INVALID_DATA: "text that is not UTF-8",
    CloseCode.MESSAGE_TOO_BIG: f"over {MAX_MESSAGE_BYTES:,} bytes",
}


def check_url(url: str) -> str:
    """The URL; its default name as a source is HOST:PORT. Raises ValueError with a message for people."""
    allowed = "allowed: ws://HOST:PORT/PATH or wss://HOST:PORT/PATH, as in ws://localhost:9202/events"
    try:
        parts = urllib.parse.urlsplit(url)
        fits = parts.scheme in ("ws", "wss") and parts.hostname and parts.port != 0 and not parts.fragment
    except ValueError as error:
        raise ValueError(f"{url!r} is not allowed ({error}); {allowed}") from None
    if not fits:
        raise ValueError(f"{url!r} is not allowed; {allowed}")
    return url


def host_and_port(url: str) -> str:
    """HOST:PORT of a URL that was checked."""
    parts = urllib.parse.urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{host}:{parts.port or (443 if parts.scheme == 'wss' else 80)}"


class ArgusSocket:
    """Receives what a server sends and puts the events that are new into the spool.

    say: called with a sentence when a connection is lost, once each outage, and when it is back.
    """

    def __init__(
        self, url: str, source: str, spool: Spool, counts: Counts, say: Callable[[str], None]
    ) -> None:
        self._url = url
        self._source = source
        self._counts = counts
        self._say = say
        self._filter = ReplayFilter((spool.state or {}).get("replay"))
        self._batcher = Batcher(spool, lambda: {"replay": self._filter.state()})
        self._is_out = False
        self._failures = 0

    def run(self, stopped: threading.Event) -> None:
        """Receives until it is stopped, over as many connections as it takes."""
        while not stopped.is_set():
            try:
                # Directly, since proxies are for what is far away; uncompressed, which is the least work.
                with connect(
                    self._url,
                    compression=None,
                    proxy=None,
                    max_size=MAX_MESSAGE_BYTES,
                    ping_timeout=60,
                    close_timeout=1,
                ) as connection:
                    self._receive_all(connection, stopped)
            except (OSError, WebSocketException) as error:
                self._count_odd_close(error)
                self._lost(error)
                self._failures += 1
                stopped.wait(_BACKOFF.wait_s(self._failures, random.random()))

    def _receive_all(self, connection: ClientConnection, stopped: threading.Event) -> None:
        self._filter.connected()
        try:
            while not stopped.is_set():
                try:
                    data = connection.recv(timeout=MAX_BATCH_AGE_S)
                except TimeoutError:
                    pass
                else:
                    self._receive(data)
                self._batcher.flush_if_old()
        finally:
            self._take(self._filter.disconnected())
            self._batcher.flush()

    def _receive(self, data: str | bytes) -> None:
        self._counts.messages += 1
        self._failures = 0
        if self._is_out:
            self._is_out = False
            self._say(f"{self._url} sends again")
        if isinstance(data, bytes):
            self._counts.add_oddity("binary")
            return
        message = read_message(data, self._source)
        if message.is_state_update:
            self._counts.state_updates += 1
        else:
            self._take(self._filter.receive(data, message))

    def _take(self, messages: Iterable[Message]) -> None:
        for message in messages:
            if message.event is not None:
                self._counts.events += 1
                self._batcher.add(message.event)
            elif message.oddity is not None:
                self._counts.add_oddity(message.oddity)
        self._counts.repeated = self._filter.repeated
        if self._filter.gaps > self._counts.gaps:
            self._counts.gaps = self._filter.gaps
            self._say(
                f"{self._url} repeats nothing of what was received before: it was started anew, or more "
                "happened than it repeats, and events may be missing"
            )

    def _count_odd_close(self, error: Exception) -> None:
        if isinstance(error, ConnectionClosed) and error.sent is not None and not error.rcvd_then_sent:
            odd = _ODD_CLOSES.get(CloseCode(error.sent.code)) if error.sent.code in _ODD_CLOSES else None
            if odd is not None:
                self._counts.messages += 1
                self._counts.add_oddity(odd)

    def _lost(self, error: Exception) -> None:
        if not self._is_out:
            self._is_out = True
            self._counts.outages += 1
            self._say(f"{self._url}: {_tell(error)}; trying again until it answers")


def _tell(error: Exception) -> str:
    if isinstance(error, InvalidStatus):
        code = error.response.status_code
        return f"it answers with HTTP status {code}" + (" (is the path right?)" if code == 404 else "")
    if isinstance(error, ConnectionClosed):
        return f"the connection ended: {error}"
    if isinstance(error, TimeoutError):
        return "it does not answer"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not good ({error.verify_message})"
    if isinstance(error, ssl.SSLError):
        return f"TLS with it does not come about ({error.reason})"
    if isinstance(error, OSError):
        return f"it cannot be reached: {error.strerror or error}"
    return str(error)
