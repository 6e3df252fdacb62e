"""What the tests share: real servers on free ports, with real DuckDB files."""

import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
import structlog

from argus_grpc.config import Config
from argus_grpc.server import Server
from argus_grpc.v1.event_pb2 import Event, Events, EventType
from argus_grpc.v1.export_pb2_grpc import ExportServiceStub
from argus_grpc.v1.ingest_pb2 import IngestEventsRequest
from argus_grpc.v1.ingest_pb2_grpc import IngestServiceStub
from tests.identities import make_token

structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))


@pytest.fixture(scope="session", autouse=True)
def _no_settings() -> Iterator[None]:
    """Settings that whoever runs the tests has in the environment reach none of them."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith("ARGUS_"):
                patch.delenv(name)
        yield


@pytest.fixture
def tokens(tmp_path: Path) -> Path:
    """A file with the token of an operator."""
    path = tmp_path / "tokens.json"
    make_token(path, "operator", "admin")
    return path


@dataclass(frozen=True)
class RunningServer:
    """A server in this process, reached over a real socket."""

    server: Server
    store_path: Path
    channel: grpc.Channel

    @property
    def address(self) -> str:
        return self.server.address

    @property
    def exports(self) -> ExportServiceStub:
        return ExportServiceStub(self.channel)

    @property
    def ingests(self) -> IngestServiceStub:
        return IngestServiceStub(self.channel)

    def ingest(self, events: Sequence[Event]) -> range:
        """Stores events in one batch and returns their sequences."""
        answer = self.ingests.IngestEvents(IngestEventsRequest(rows=Events(events=events)))
        return range(answer.first_sequence, answer.last_sequence + 1)

    def sql(self, query: str) -> list[tuple[Any, ...]]:
        """The rows of a plain SQL query on the server's database: an oracle."""
        with self.server._store._database.cursor() as cursor:
            return cursor.execute(query).fetchall()


def start_server(folder: Path, **settings: Any) -> Iterator[RunningServer]:
    config = Config(db=folder / "events.duckdb", listen="127.0.0.1:0", shutdown_grace_s=1, **settings)
    with Server(config) as server, grpc.insecure_channel(server.address) as channel:
        yield RunningServer(server, config.db, channel)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RunningServer]:
    """A server with an empty store."""
    yield from start_server(tmp_path)


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server that the tests of one module share, empty at first."""
    yield from start_server(tmp_path_factory.mktemp("shared"))


@pytest.fixture
def example_events() -> list[Event]:
    """The design's two example events."""
    common: dict[str, Any] = {
        "source": "example",
        "thread_id": 123,
        "thread_name": "VT-1",
        "carrier_thread": 1,
    }
    return [
        Event(
            timestamp=1_704_067_200_123_000_000,
            event_type=EventType.EVENT_TYPE_VIRTUAL_THREAD_START,
            **common,
        ),
        Event(
            timestamp=1_704_067_200_456_000_000,
            event_type=EventType.EVENT_TYPE_VIRTUAL_THREAD_END,
            duration_ns=333_000_000,
            **common,
        ),
    ]
