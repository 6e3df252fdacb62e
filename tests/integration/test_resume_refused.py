"""A resume that the server cannot or must not serve: refused by name, and nothing wrong is written."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from pathlib import Path
from typing import Any

import pytest

from argus_client import (
    ArgusClientError,
    Backoff,
    BrokenExport,
    EventQuery,
    Export,
    ExportClient,
    ResumePoint,
    ResumeRefused,
)
from argus_client.stream import StreamVerifier
from argus_grpc.access import UNRESTRICTED
from argus_grpc.calls import Call, begin
from argus_grpc.service import _to_export_request
from argus_grpc.tokens import ExportPosition, TokenMaker
from argus_grpc.v1.event_pb2 import Event, EventType
from argus_grpc.v1.export_pb2 import StreamEventsRequest, StreamEventsResponse
from tests.conftest import RunningServer, start_server
from tests.proxy import Proxy, proxy_to

pytestmark = pytest.mark.duckdb

KEY = "0123456789abcdef" * 2
AT_ONCE = Backoff(first_s=0, max_s=0)
EVENTS = [
    Event(
        timestamp=i,
        event_type=EventType.EVENT_TYPE_VIRTUAL_THREAD_START,
        source="s",
        thread_id=i + 1,
        thread_name="x" * 100,
    )
    for i in range(1_000)
]


@contextmanager
def running(folder: Path, **settings: Any) -> Iterator[RunningServer]:
    folder.mkdir()
    for server in start_server(folder, **settings):
        server.ingest(EVENTS)
        yield server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RunningServer]:
    with running(tmp_path / "a", token_key=KEY) as server:
        yield server


@pytest.fixture
def proxy(server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """A proxy that cuts where the client is, when it is told where to stop."""
    accept = StreamVerifier.accept
    with proxy_to(server.address) as proxy:

        def accept_and_tell(verifier: StreamVerifier, message: StreamEventsResponse) -> Any:
            batch = accept(verifier, message)
            proxy.cut_when_taken()
            return batch

        monkeypatch.setattr(StreamVerifier, "accept", accept_and_tell)
        yield proxy


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({}, "resume_token is not a token of this service"),
        ({"token_key": KEY}, "resume_token is for another store than this server has"),
    ],
)
def test_another_store_behind_the_same_address(
    settings: dict[str, str], told: str, proxy: Proxy, tmp_path: Path
) -> None:
    out = tmp_path / "out.csv"
    with (
        running(tmp_path / "b", **settings) as other,
        ExportClient(proxy.address, backoff=AT_ONCE) as client,
    ):

        def move(*_: object) -> None:
            proxy.target = other.address

        proxy.stop_at(3)
        with pytest.raises(ResumeRefused, match=f"{told}; go on at the server that began it"):
            client.export(on_retry=move, max_batch_bytes=16 * 1024).to_csv(out)
    assert not out.exists()


def test_a_server_that_refuses_connections_for_a_while_is_waited_for(proxy: Proxy) -> None:
    tries: list[int] = []

    def refuse_thrice(attempt: int, _wait_s: float, _error: ArgusClientError) -> None:
        tries.append(attempt)
        proxy.is_refusing = attempt < 4

    with ExportClient(proxy.address, backoff=Backoff(first_s=0.1, max_s=0.1)) as client:
        proxy.stop_at(3)
        table = client.export(on_retry=refuse_thrice, max_batch_bytes=16 * 1024).to_arrow()
    assert table["thread_id"].to_pylist() == [event.thread_id for event in EVENTS]
    assert tries[:4] == [1, 2, 3, 4]


def tampered(token: str, _: Export) -> str:
    return token[:10] + ("A" if token[10] != "A" else "B") + token[11:]


def foreign(token: str, export: Export) -> str:
    return TokenMaker(b"another key", 3600).make(position_of(token, export), now_s=int(time.time()))


def expired(token: str, export: Export) -> str:
    return TokenMaker(KEY.encode(), 3600).make(position_of(token, export), now_s=int(time.time()) - 3601)


def position_of(token: str, export: Export) -> ExportPosition:
    assert isinstance(export.request, StreamEventsRequest)
    context = copy_context()
    context.run(begin, Call("id", "/m", "peer", 0.0, role=UNRESTRICTED))
    digest = context.run(_to_export_request, export.request).digest
    return TokenMaker(KEY.encode(), 1).check(token, ExportPosition, digest, export.header.store_id, now_s=0)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (tampered, "resume_token is not a token of this service; go on at the server that began it, with "),
        (foreign, "resume_token is not a token of this service; go on at the server that began it, with "),
        (expired, "resume_token has expired; start the export anew"),
    ],
)
def test_a_token_that_is_not_good(
    spoil: Callable[[str, Export], str], message: str, server: RunningServer, tmp_path: Path
) -> None:
    with ExportClient(server.address, backoff=AT_ONCE) as client:
        with client.export(max_batch_bytes=16 * 1024) as export:
            next(iter(export))
            point = export.resume_point
        assert client.export(resume_from=point).to_arrow().num_rows == 1_000 - point.rows
        spoilt = ResumePoint(spoil(point.token, export), point.rows)
        with pytest.raises(ResumeRefused, match=message):
            client.export(resume_from=spoilt).to_csv(tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.parametrize(
    "changed", [{"columns": ["timestamp"]}, {"order": "arrival"}, {"query": EventQuery(types=["START"])}]
)
def test_another_request(changed: dict[str, Any], server: RunningServer) -> None:
    with ExportClient(server.address, backoff=AT_ONCE) as client:
        with client.export() as export:
            next(iter(export))
            point = export.resume_point
        with pytest.raises(ResumeRefused, match="query, columns and order must be those it was made for"):
            client.export(**changed, resume_from=point).to_arrow()


def test_a_place_that_is_not_the_token_s(server: RunningServer) -> None:
    with ExportClient(server.address, backoff=AT_ONCE) as client:
        with client.export(max_batch_bytes=16 * 1024) as export:
            next(iter(export))
            point = export.resume_point
        wrong = ResumePoint(point.token, point.rows + 1)
        with pytest.raises(BrokenExport, match=f"begins at event {point.rows} where {point.rows + 1} should"):
            client.export(resume_from=wrong).to_arrow()
