"""The connection is cut behind every message and in the middle of each: the file is the same."""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest

from argus_client import ArgusClientError, Backoff, Export, ExportClient, ResumePoint
from argus_client.compression import Compression
from argus_client.formats import BINARY_FORMATS, FORMATS, RenderOptions
from argus_client.stream import StreamVerifier
from argus_grpc.v1.event_pb2 import Event, EventType
from argus_grpc.v1.export_pb2 import StreamEventsResponse
from tests.conftest import RunningServer
from tests.proxy import Proxy, proxy_to
from tests.strategies import NASTY_TEXTS

pytestmark = pytest.mark.duckdb

EVENTS = 480
MESSAGES = range(8, 13)
COMPRESSIONS: tuple[Compression, ...] = get_args(Compression)


@pytest.fixture(scope="module", autouse=True)
def _events(shared_server: RunningServer) -> None:
    texts = itertools.cycle(NASTY_TEXTS)
    shared_server.ingest(
        [
            Event(
                timestamp=1_704_067_200_000_000_000 + i // 3,
                event_type=EventType.EVENT_TYPE_VIRTUAL_THREAD_END,
                source="cuts",
                thread_id=i + 1,
                thread_name=next(texts),
                duration_ns=i if i % 5 else None,
                stack_trace=None if i % 7 else "a(A.java:1)\nb(B.java:2)",
            )
            for i in range(EVENTS)
        ]
    )


@pytest.fixture(scope="module")
def proxy(shared_server: RunningServer) -> Iterator[Proxy]:
    with proxy_to(shared_server.address) as proxy:
        yield proxy


class CutClient:
    """Makes the same export over and over, by the token of its beginning: what it says of itself
    (exported_at, in the metadata) stays the same, so that files compare to the byte."""

    def __init__(self, client: ExportClient, proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
        self._client = client
        self._proxy = proxy
        self.messages_taken = 0
        self.retries = 0
        accept = StreamVerifier.accept

        def accept_and_tell(verifier: StreamVerifier, message: StreamEventsResponse) -> Any:
            batch = accept(verifier, message)
            self.messages_taken += 1
            proxy.cut_when_taken()
            return batch

        monkeypatch.setattr(StreamVerifier, "accept", accept_and_tell)
        with self.export(None) as export:
            assert export.header.total_events == EVENTS
            self._start = export.resume_point

    def export(self, resume_from: ResumePoint | None, limit: int | None = None) -> Export:
        return self._client.export(
            columns="all",
            limit=limit,
            max_batch_bytes=16 * 1024,
            resume_from=resume_from,
            on_retry=self._count_retry,
        )

    def write(self, path: Path, format: str, compression: Compression, limit: int | None = None) -> bytes:
        """Writes the export to a new file and returns what is in it."""
        self.messages_taken = self.retries = 0
        options = RenderOptions(metadata=format != "json")
        self.export(self._start, limit).write(path, format, options, compression=compression)
        written = path.read_bytes()
        path.unlink()
        return written

    def _count_retry(self, _attempt: int, _wait_s: float, _error: ArgusClientError) -> None:
        self.retries += 1


@pytest.fixture
def cut_client(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> Iterator[CutClient]:
    # Many blocks and groups, so that cuts fall into the middle of some.
    monkeypatch.setattr("argus_client.compression.BLOCK_BYTES", 10_000)
    monkeypatch.setattr("argus_client.formats.groups.MAX_GROUP_ROWS", 100)
    with ExportClient(proxy.address, backoff=Backoff(first_s=0.005, max_s=0.005)) as client:
        yield CutClient(client, proxy, monkeypatch)


def places(messages: int) -> list[float]:
    """In the middle of each message and right behind it."""
    return [message + part for message in range(messages) for part in (0.5, 1)]


@pytest.mark.parametrize(
    ("format", "compression"),
    [
        (format, compression)
        for format in FORMATS
        for compression in COMPRESSIONS
        if compression == "none" or format not in BINARY_FORMATS
    ],
)
def test_a_cut_anywhere_does_not_show_in_the_file(
    format: str, compression: Compression, cut_client: CutClient, proxy: Proxy, tmp_path: Path
) -> None:
    uncut = cut_client.write(tmp_path / "uncut", format, compression)
    messages = cut_client.messages_taken
    assert messages in MESSAGES
    for place in places(messages):
        proxy.stop_at(place)
        assert cut_client.write(tmp_path / "cut", format, compression) == uncut, f"cut at message {place}"
        # More than one, where the next call was begun before the channel knew of the cut.
        assert cut_client.retries >= 1


@pytest.mark.parametrize("limit", [EVENTS // 2, EVENTS])
def test_a_cut_anywhere_does_not_show_where_a_limit_cuts(
    limit: int, cut_client: CutClient, proxy: Proxy, tmp_path: Path
) -> None:
    uncut = cut_client.write(tmp_path / "uncut", "json", "none", limit)
    assert len(json.loads(uncut)["events"]) == limit
    # From the last batch on it is the limit that decides what the next call asks for.
    for place in places(cut_client.messages_taken)[-5:]:
        proxy.stop_at(place)
        assert cut_client.write(tmp_path / "cut", "json", "none", limit) == uncut, f"cut at message {place}"
        assert cut_client.retries >= 1
