"""The dashboard's own certificate: read at start, and again whenever its files change."""

import asyncio
import hashlib
import ssl
from pathlib import Path

import structlog

_CHECK_INTERVAL_S = 0.5

_log = structlog.get_logger()


def load_certificate(cert: Path, key: Path) -> ssl.SSLContext:
    """A server's side of TLS 1.2 and 1.3 with this chain and key, both PEM.

    Raises ValueError with a message for people.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    for path in (cert, key):
        try:
            path.read_bytes()
        except OSError as error:
            raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    try:
        # A password that is asked for would wait for a terminal.
        context.load_cert_chain(cert, key, password=lambda: b"")
    except (ssl.SSLError, OSError) as error:
        raise ValueError(f"{cert} and {key} are no certificate and its key: {_told(error)}") from None
    return context


class ReloadedCertificate:
    """What a listener is given: each connection gets what the files had when they were last whole."""

    def __init__(self, cert: Path, key: Path) -> None:
        """Raises ValueError as `load_certificate`."""
        self._cert, self._key = cert, key
        self._seen = self._digest()
        self._current = load_certificate(cert, key)
        self.listening = load_certificate(cert, key)
        # Called for every handshake, whether the client names the server or not. So connections go from one
        # whole context to the next, and none meets the new chain with the old key.
        self.listening.sni_callback = self._choose

    async def watch(self) -> None:
        """Reloads until it is cancelled."""
        while True:
            await asyncio.sleep(_CHECK_INTERVAL_S)
            self.check()

    def check(self) -> None:
        """Reads the files again if they have changed; those that are broken leave the old ones in force."""
        now = self._digest()
        if now == self._seen:
            return
        try:
            self._current = load_certificate(self._cert, self._key)
        except ValueError as error:
            _log.error("the new certificate is not taken, the old one stays", error=str(error))
        else:
            _log.info("the certificate was reloaded", cert=str(self._cert))
        self._seen = now

    def _choose(self, connection: ssl.SSLObject, _name: str | None, _: ssl.SSLContext) -> None:
        connection.context = self._current

    def _digest(self) -> list[bytes]:
        return [_digest_of(path) for path in (self._cert, self._key)]


def _digest_of(path: Path) -> bytes:
    try:
        return hashlib.sha256(path.read_bytes()).digest()
    except OSError:
        return b""


def _told(error: OSError) -> str:
    reason = getattr(error, "reason", None) or error.strerror or str(error)
    return str(reason).lower().replace("_", " ")
