"""A TCP proxy that knows enough of HTTP/2 (RFC 9113) and gRPC to stop at an exact message."""

import socket
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO

_TIMEOUT_S = 20.0
_FRAME_HEADER_BYTES = 9
_DATA = 0x0
_PADDED = 0x8
_MESSAGE_PREFIX_BYTES = 5


class _Stop:
    """A place in the responses from here on: 2 is right behind the second message, 2.5 in the
    middle of the third."""

    def __init__(self, messages: float) -> None:
        self.whole_messages, part = divmod(messages, 1)
        self._is_between = not part
        self._messages_seen = 0
        self._unfinished: defaultdict[int, bytearray] = defaultdict(bytearray)
        self.messages_taken = 0
        self.is_reached = threading.Event()
        self.is_over = threading.Event()

    def bytes_before(self, frame: bytes) -> int:
        """How many bytes of this frame, the next one, come before the place."""
        if frame[3] != _DATA:
            return len(frame)
        assert not frame[4] & _PADDED, "gRPC does not pad"
        messages = self._unfinished[int.from_bytes(frame[5:9])]
        offset_of_messages = _FRAME_HEADER_BYTES - len(messages)
        messages += frame[_FRAME_HEADER_BYTES:]
        start = 0
        while True:
            prefix = messages[start : start + _MESSAGE_PREFIX_BYTES]
            size = _MESSAGE_PREFIX_BYTES + int.from_bytes(prefix[1:])
            is_known = len(prefix) == _MESSAGE_PREFIX_BYTES
            if self._messages_seen == self.whole_messages and (self._is_between or is_known):
                place = start + (0 if self._is_between else size // 2)
                if len(messages) >= place:
                    self.is_reached.set()
                    return offset_of_messages + place
            if not is_known or len(messages) < start + size:
                del messages[:start]
                return len(frame)
            start += size
            self._messages_seen += 1


class Proxy:
    """Stands between clients and the server at `target`, which may be changed for connections to
    come, as `is_refusing` may, with which they are closed as soon as they are there."""

    def __init__(self, listener: socket.socket, target: str) -> None:
        self.address = f"127.0.0.1:{listener.getsockname()[1]}"
        self.target = target
        self.is_refusing = False
        self.connections = 0
        self._listener = listener
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._stop: _Stop | None = None

    def stop_at(self, messages: float) -> None:
        """Lets so many more response messages through, then nothing more of that connection."""
        self._stop = _Stop(messages)

    def wait_until_stopped(self) -> None:
        assert self._stop is not None
        assert self._stop.is_reached.wait(_TIMEOUT_S), "so many messages never came"

    def cut(self) -> None:
        """Breaks all connections that there are, and goes on with those to come."""
        stop, self._stop = self._stop, None
        sockets, self._sockets = self._sockets, []
        for each in sockets:
            _hang_up(each)
        if stop is not None:
            stop.is_over.set()

    def cut_when_taken(self) -> None:
        """To be called for each message that the client takes: cuts when it has all that came
        through whole. A gRPC client drops what it has received and not yet taken when its
        connection breaks, so that without this a cut would not be at the same place each time."""
        if self._stop is None:
            return
        self._stop.messages_taken += 1
        if self._stop.messages_taken == self._stop.whole_messages:
            self.wait_until_stopped()
            self.cut()

    def serve(self) -> None:
        """Takes connections until the listener is closed."""
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                break
            try:
                if self.is_refusing:
                    raise ConnectionRefusedError
                host, _, port = self.target.rpartition(":")
                server = socket.create_connection((host, int(port)))
            except OSError:
                client.close()
                continue
            self.connections += 1
            self._sockets += [client, server]
            for forward in (self._forward_requests, self._forward_responses):
                self._threads.append(threading.Thread(target=forward, args=(client, server)))
                self._threads[-1].start()
        self.cut()
        for thread in self._threads:
            thread.join()

    def _forward_requests(self, client: socket.socket, server: socket.socket) -> None:
        with client, suppress(OSError):
            while data := client.recv(65_536):
                server.sendall(data)
        _hang_up(server)

    def _forward_responses(self, client: socket.socket, server: socket.socket) -> None:
        with server, suppress(OSError), server.makefile("rb") as responses:
            while frame := _read_frame(responses):
                stop = self._stop
                client.sendall(frame[: stop.bytes_before(frame)] if stop else frame)
                if stop is not None and stop.is_reached.is_set():
                    if stop.whole_messages == 0:
                        self.cut()
                    stop.is_over.wait(_TIMEOUT_S)
                    break
        _hang_up(client)


def _read_frame(responses: BinaryIO) -> bytes:
    """The next HTTP/2 frame, header and payload; nothing at the end."""
    header = responses.read(_FRAME_HEADER_BYTES)
    return header + responses.read(int.from_bytes(header[:3]))


def _hang_up(each: socket.socket) -> None:
    with suppress(OSError):
        each.shutdown(socket.SHUT_RDWR)


@contextmanager
def proxy_to(target: str) -> Iterator[Proxy]:
    """A proxy on a free loopback port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        proxy = Proxy(listener, target)
        thread = threading.Thread(target=proxy.serve)
        thread.start()
        try:
            yield proxy
        finally:
            # Closing alone does not wake accept().
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
