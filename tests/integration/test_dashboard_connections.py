"""Connections that send slowly, too much, or what is no request."""

import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.dashboard import dashboard_process


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, int]]:
    """A dashboard of no server, which waits a second for requests."""
    folder: Path = tmp_path_factory.mktemp("dashboard")
    with dashboard_process(folder, "127.0.0.1:1", "--request-timeout-s", "1") as process:
        parts = urlsplit(process.url)
        yield parts.hostname or "", parts.port or 0


@pytest.fixture
def connection(address: tuple[str, int]) -> Iterator[socket.socket]:
    with socket.create_connection(address, timeout=30) as connection:
        yield connection


def received(connection: socket.socket) -> bytes:
    """All that comes until the other side ends it."""
    got = b""
    with suppress(ConnectionResetError):
        while more := connection.recv(65_536):
            got += more
    return got


@pytest.mark.parametrize(
    "begun",
    [b"", b"GET / HT", b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Long: "],
    ids=["nothing", "part of a line", "part of a head"],
)
def test_a_head_that_does_not_come_is_not_waited_for(connection: socket.socket, begun: bytes) -> None:
    connection.sendall(begun)
    assert received(connection) == b""


def test_a_head_that_trickles_is_not_waited_for(connection: socket.socket) -> None:
    connection.sendall(b"GET / HTTP/1.1\r\nX-Slow: ")
    connection.settimeout(0.1)
    for _ in range(300):
        try:
            connection.sendall(b"x")
            if not connection.recv(1):
                break
        except TimeoutError:
            continue
        except OSError:
            break
    else:
        pytest.fail("it waited for 30 s")


def test_neither_is_the_second_one(connection: socket.socket) -> None:
    connection.sendall(b"GET /static/theme.js HTTP/1.1\r\nHost: localhost\r\n\r\n")
    first = b""
    while not first.endswith(b"}\n"):
        first += connection.recv(65_536)
    connection.sendall(b"GET / HTTP/1.1\r\nX-Slow: ")
    assert received(connection) == b""


def test_a_form_that_does_not_come_is_told(connection: socket.socket) -> None:
    connection.sendall(b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 20\r\n\r\ntoken=")
    answer = received(connection)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"urn:argus-export:problem:request-timeout" in answer


@pytest.mark.parametrize("size", [40_000, 4_000_000])
@pytest.mark.parametrize(
    "fill",
    [
        lambda size: b" / HTTP/1.1\r\nX-Large: " + b"x" * size,
        lambda size: b" / HTTP/1.1\r\n" + b"X-Many: y\r\n" * (size // 10) + b"X-End: z",
        lambda size: b" /?" + b"x" * size + b" HTTP/1.1",
    ],
    ids=["field", "fields", "target"],
)
def test_a_head_that_is_too_large_is_refused(
    connection: socket.socket, fill: Callable[[int], bytes], size: int
) -> None:
    # What is larger is not read to its end.
    with suppress(ConnectionError):
        connection.sendall(b"GET" + fill(size) + b"\r\nHost: localhost\r\n\r\n")
    answer = received(connection)
    if size > 300_000 and not answer:
        return
    assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 431 "))
    assert b"urn:argus-export:problem:" in answer


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
    ],
    ids=["TLS", "two lengths", "negative length"],
)
def test_what_is_no_request_is_told_so(connection: socket.socket, sent: bytes) -> None:
    connection.sendall(sent)
    answer = received(connection)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"urn:argus-export:problem:malformed-request" in answer
