"""Requests to a real dashboard over a real socket: paths, parameters, headers, and what is no HTTP at all."""

import json
import re
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from urllib.parse import quote_from_bytes, unquote_to_bytes

import grpc
import h11

from argus_grpc.v1.event_pb2 import Events
from argus_grpc.v1.ingest_pb2 import IngestEventsRequest
from argus_grpc.v1.ingest_pb2_grpc import IngestServiceStub
from tests.dashboard import dashboard_process
from tests.fuzz.door import Attempt, Door
from tests.fuzz.mutation import mutate_bytes
from tests.fuzz.real import REAL_EVENTS, TEXTS
from tests.processes import server_process

_TIMEOUT_S = 30
_MAX_ANSWER_BYTES = 4 * 1024 * 1024
_MAX_TOLD_BYTES = 20_000
_MAX_SHOWN_CHARACTERS = 2_000
_STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")
_ALLOWED = {
    200,
    206,
    303,
    304,
    307,
    308,
    400,
    401,
    403,
    404,
    405,
    406,
    408,
    409,
    410,
    411,
    413,
    414,
    415,
    416,
    421,
    422,
    429,
    431,
}
# What a program says of itself: SQL, files and stacks.
_INSIDE = re.compile(rb"Traceback|site-packages|\.py\b|duckdb|(?:Binder|Catalog|Parser|Conversion) Error")
# Which what a client itself says may have in it: not to be taken for ours.
_OWN_WORDS = re.compile(rb"duckdb|\.py|Traceback|site-packages|Error")
_ENDLESS = b"/api/follow"

_PATHS = (
    "/export?format=csv&from=2024-01-01T00:00:00Z&to=2024-01-02&type=PINNED&columns=all",
    "/export?format=json&last=15m&thread_name=pool-*&min_duration=10ms&limit=3&metadata=true",
    "/export?format=jsonl&source=a&order=arrival&time_precision=ms&compress=gzip",
    "/export?format=csv&excel=true&header=titles&thread_name_regex=^a%2B&download_id=abc",
    "/export?format=parquet",
    "/export?format=arrow&after_sequence=3",
    "/api/aggregate?by=time:1m,event_type&measure=count,p99:duration_ns&from=2024-01-01",
    "/api/aggregate?by=stack&measure=max:duration_ns",
    "/api/columns",
    "/api/plan?thread_name_contains=a",
    "/api/events?limit=5&columns=all&thread_id=1,2&carrier_thread=7&max_duration=5s",
    "/api/follow?type=START",
    "/api/download?id=abc",
    "/healthz",
    "/openapi.json",
    "/",
    "/static/app.css",
    "/static/../app.py",
    "/nothing",
)


@contextmanager
def _open() -> Iterator[Attempt]:
    with (
        TemporaryDirectory(prefix="argus-fuzz-") as folder,
        server_process(Path(folder, "events.duckdb")) as server,
        dashboard_process(Path(folder), server.address) as dashboard,
    ):
        with grpc.insecure_channel(server.address) as channel:
            IngestServiceStub(channel).IngestEvents(IngestEventsRequest(rows=Events(events=REAL_EVENTS)))
        host, _, port = dashboard.address.rpartition(":")
        address = host, int(port)

        def attempt(data: bytes) -> None:
            data = data.replace(b"HOST", dashboard.address.encode())
            with socket.create_connection(address, _TIMEOUT_S) as connection:
                # It may answer, and hang up, before it has all.
                with suppress(ConnectionError):
                    connection.sendall(data)
                if _is_whole(data):
                    _check(_answer(connection, data), data)

        yield attempt
        # What it could not handle, it has logged.
        failed = [line for line in dashboard.log.read_text().splitlines() if "request failed" in line]
        assert not failed, failed[0][-_MAX_SHOWN_CHARACTERS:]


def _is_whole(data: bytes) -> bool:
    """Whether an answer has to come, by another reader of HTTP."""
    if not data:
        return False
    reader = h11.Connection(h11.SERVER)
    reader.receive_data(data)
    try:
        while (event := reader.next_event()) is not h11.NEED_DATA:
            if isinstance(event, h11.EndOfMessage):
                return True
    except h11.RemoteProtocolError:
        return True
    return False


def _answer(connection: socket.socket, request: bytes) -> bytes:
    """What comes first: a status line, and of an answer that ends all of it."""
    answer = bytearray()
    with suppress(ConnectionError):
        while len(answer) < _MAX_ANSWER_BYTES and (piece := connection.recv(64 * 1024)):
            answer += piece
            if _ENDLESS in request or b"\r\n\r\n" in answer:
                break
    return bytes(answer)


def _check(answer: bytes, request: bytes) -> None:
    if not answer:
        # The connection was ended, as for HTTP/2's preface.
        return
    found = _STATUS.match(answer)
    assert found, answer[:100]
    status = int(found[1])
    assert status in _ALLOWED, answer[:2_000]
    head, _, body = answer.partition(b"\r\n\r\n")
    if status >= 400:
        assert len(answer) < _MAX_TOLD_BYTES, "a refusal of any length"
        if not _OWN_WORDS.search(_as_told(request)):
            assert not _INSIDE.search(answer), answer[:2_000]
        length = re.search(rb"content-length: (\d+)", head)
        if b"application/problem+json" in head and length and len(body) == int(length[1]) and body:
            assert json.loads(body)["status"] == status


def _as_told(request: bytes) -> bytes:
    """As URLs are read: with what is behind per cent signs, and without ends of lines."""
    return unquote_to_bytes(request).translate(None, b"\t\r\n")


def _request(path: str, method: str = "GET", *headers: str) -> bytes:
    lines = (f"{method} {path} HTTP/1.1", "Host: HOST", "Connection: close", *headers, "", "")
    return "\r\n".join(lines).encode()


def _seeds() -> Iterator[bytes]:
    for path in _PATHS:
        yield _request(path)
    yield _request("/api/plan", "GET", "Accept-Encoding: gzip, br;q=0.5", "Accept: text/html;q=0.9,*/*")
    yield _request("/export", "HEAD")
    yield _request("/export", "POST", "Content-Length: 3") + b"a=b"
    yield (
        _request("/login", "POST", "Content-Type: application/x-www-form-urlencoded", "Content-Length: 7")
        + b"token=x"
    )
    yield _request(
        "/", "GET", "Cookie: argus-session=abc", "Authorization: Bearer argus_x_y", "Origin: http://x"
    )
    yield _request("/api/plan", "OPTIONS", "Transfer-Encoding: chunked") + b"3\r\nabc\r\n0\r\n\r\n"
    yield b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def _mutate(random: Random, data: bytes, words: Sequence[bytes]) -> bytes:
    """Mostly the values of the request line, and so that it stays one."""
    line, separator, rest = data.partition(b" HTTP/1.1\r\n")
    if not separator or random.random() < 0.3:
        return mutate_bytes(random, data, words)
    method, _, path = line.partition(b" ")
    if random.random() < 0.5:
        name, equals, value = path.rpartition(b"=")
        changed = quote_from_bytes(mutate_bytes(random, value, words), safe="%&=+")
        path = name + equals + changed.encode()
    else:
        path = quote_from_bytes(mutate_bytes(random, path, words), safe="/%?&=+,:").encode()
    return method + b" " + (path or b"/") + separator + rest


DOOR = Door(
    open=_open,
    seeds=_seeds,
    words=(
        *TEXTS,
        b"&",
        b"=",
        b"%",
        b"%00",
        b"%ff",
        b"%2e%2e/",
        b"..",
        b"//",
        b"?",
        b"all",
        b"format=",
        b"&type=",
        b"&columns=",
        b"&limit=",
        b"&from=",
        b"&thread_name_regex=",
        b"(a{1000}){1000}",
        b"*a" * 99,
        b"9" * 400,
        b"-1",
        b"1e999",
        b"\r\n",
        b"\r\nHost: evil",
        b"Range: bytes=0-1",
        b"x" * 70_000,
    ),
    mutate=_mutate,
    max_bytes=128 * 1024,
    timeout_s=60,
)
