"""Bytes from whoever a collector has connected to, behind a right handshake: frames, and what is none."""

import base64
import hashlib
import json
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from websockets.frames import Frame, Opcode

from argus_client.collect.argus_socket import ArgusSocket
from argus_client.collect.counts import Counts
from argus_client.collect.spool import Spool
from tests.fuzz.door import Attempt, Door
from tests.fuzz.real import ARGUS_MESSAGES, TEXTS

_SPOOL_BYTES = 1024 * 1024
# RFC 6455, section 1.3.
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_KEY = re.compile(rb"(?i)sec-websocket-key: (\S+)")


class _Peer:
    """Sends whoever connects the bytes that are set at that time, and no more."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"ws://127.0.0.1:{self._listener.getsockname()[1]}/events"
        self.data = b""
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            with connection, suppress(OSError):
                request = b""
                while b"\r\n\r\n" not in request:
                    request += connection.recv(65_536)
                found = _KEY.search(request)
                assert found is not None
                accept = base64.b64encode(hashlib.sha1(found[1] + _GUID, usedforsecurity=False).digest())
                connection.sendall(
                    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                    b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n" + self.data
                )
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(65_536):
                    pass


@contextmanager
def _open() -> Iterator[Attempt]:
    peer = _Peer()
    with (
        TemporaryDirectory(prefix="argus-fuzz-") as folder,
        Spool(Path(folder), _SPOOL_BYTES, print) as spool,
    ):

        def attempt(data: bytes) -> None:
            peer.data = data
            counts, stopped, said = Counts(), threading.Event(), list[str]()

            def say(sentence: str) -> None:
                said.append(sentence)
                if "trying again" in sentence:
                    stopped.set()

            ArgusSocket(peer.url, "source", spool, counts, say).run(stopped)
            assert counts.outages == 1, said
            assert counts.events + counts.repeated + counts.state_updates <= counts.messages
            assert all(len(sentence) < 1_000 for sentence in said)

        yield attempt


def _seeds() -> Iterator[bytes]:
    frames = [Frame(Opcode.TEXT, json.dumps(message).encode()) for message in ARGUS_MESSAGES]
    sent = [frame.serialize(mask=False) for frame in frames]
    yield from sent
    yield b"".join(sent)
    ping, close = Frame(Opcode.PING, b"x"), Frame(Opcode.CLOSE, b"\x03\xe8bye")
    parts = (Frame(Opcode.TEXT, b'{"type":', fin=False), ping, Frame(Opcode.CONT, b'"START"}'), close)
    yield b"".join(part.serialize(mask=False) for part in parts)
    yield Frame(Opcode.BINARY, bytes(300)).serialize(mask=False)
    # One that says it is longer than any that is taken, one that is compressed, one that is masked.
    yield b"\x81\x7f" + (2**40).to_bytes(8, "big") + b"x"
    yield b"\xc1\x05" + b"\x00" * 5
    yield frames[0].serialize(mask=True)


DOOR = Door(
    open=_open,
    seeds=_seeds,
    words=(
        *TEXTS,
        b"\x81\x7e\xff\xff",
        b"\x81\x7f",
        b"\x80\x00",
        b"\x89\x7d",
        b"\x88\x02\x03\xe8",
        b"\xc1",
        b"\x01",
    ),
    follows=("argus_client.collect.argus_socket", "argus_client.collect.argus_messages"),
    max_bytes=128 * 1024,
)
