"""GET /api/follow: new events as server-sent events, gone on with exactly after a break."""

import http.client
import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlencode

import pytest

from argus_grpc.v1.event_pb2 import Event, EventType
from tests.conftest import RunningServer
from tests.dashboard import DashboardProcess, curl, dashboard_process, get_json, needs_curl

START = EventType.EVENT_TYPE_VIRTUAL_THREAD_START
PINNED = EventType.EVENT_TYPE_VIRTUAL_THREAD_PINNED


@pytest.fixture
def dashboard(server: RunningServer, tmp_path: Path) -> Iterator[DashboardProcess]:
    with dashboard_process(tmp_path, server.address) as dashboard:
        yield dashboard


class Stream:
    """A stream of server-sent events, read by the rules of HTML, section 9.2.6."""

    def __init__(self, dashboard: DashboardProcess, last_id: str | None = None, **query: str) -> None:
        host, _, port = dashboard.address.rpartition(":")
        self._connection = http.client.HTTPConnection(host, int(port), timeout=60)
        headers = {"Last-Event-ID": last_id} if last_id else {}
        self._connection.request("GET", f"/api/follow?{urlencode(query)}", headers=headers)
        self.answer = self._connection.getresponse()
        self.last_id = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.answer.close()
        self._connection.close()

    def next(self) -> tuple[str, Any] | None:
        """The name and data of the next event; None at the stream's end."""
        fields: dict[str, str] = {}
        while line := self.answer.readline().decode():
            name, _, value = line.rstrip("\n").partition(": ")
            if not name:
                self.last_id = fields.get("id", self.last_id)
                if "data" in fields:
                    return fields["event"], json.loads(fields["data"])
                fields = {}
            assert name not in fields
            fields[name] = value
        return None

    def next_events(self, count: int) -> list[Any]:
        """So many events, beyond any heartbeats."""
        events: list[Any] = []
        while len(events) < count:
            told = self.next()
            assert told is not None
            if told[0] == "events":
                events += told[1]
        assert len(events) == count
        return events


def events(first: int, count: int, event_type: "EventType.ValueType" = START) -> list[Event]:
    return [
        Event(
            timestamp=number,
            event_type=event_type,
            source="jvm",
            thread_id=number,
            thread_name=f"{number}\n\u2028ä",
        )
        for number in range(first, first + count)
    ]


def test_new_events_come_as_they_are_stored(server: RunningServer, dashboard: DashboardProcess) -> None:
    server.ingest(events(1, 5))
    with Stream(dashboard, type="START", columns="sequence,thread_name") as stream:
        assert stream.answer.getheader("Content-Type") == "text/event-stream; charset=utf-8"
        assert stream.next() == ("heartbeat", {"watermark": 5, "rowsSent": 0})
        server.ingest(events(6, 2) + events(8, 1, PINNED))
        assert stream.next_events(2) == [
            {"sequence": 6, "threadName": "6\n\u2028ä"},
            {"sequence": 7, "threadName": "7\n\u2028ä"},
        ]
        server.ingest(events(9, 1))
        assert [event["sequence"] for event in stream.next_events(1)] == [9]


def test_after_sequence_begins_earlier(server: RunningServer, dashboard: DashboardProcess) -> None:
    server.ingest(events(1, 5))
    with Stream(dashboard, after_sequence="3", columns="sequence") as stream:
        assert stream.next_events(2) == [{"sequence": 4}, {"sequence": 5}]


@pytest.mark.parametrize("query", [{"last": "36500d"}, {"after_sequence": "3"}, {}], ids=str)
def test_last_event_id_goes_on_exactly(
    server: RunningServer, dashboard: DashboardProcess, query: dict[str, str]
) -> None:
    server.ingest(events(1, 3))
    query = query | {"columns": "sequence"}
    with Stream(dashboard, **query) as stream:
        assert stream.next() is not None
        server.ingest(events(4, 2))
        assert stream.next_events(2) == [{"sequence": 4}, {"sequence": 5}]
    server.ingest(events(6, 3))
    with Stream(dashboard, stream.last_id, **query) as again:
        assert again.next_events(3) == [{"sequence": number} for number in (6, 7, 8)]


@needs_curl
def test_ids_that_are_not_of_this_stream_are_refused(dashboard: DashboardProcess) -> None:
    for last_id in ("x", "1.2", ".1.2.", ".-1.0.abc", "9" * 30 + ".1.1.abc"):
        header = f"Last-Event-ID: {last_id}"
        problem = get_json(f"{dashboard.url}/api/follow", "--header", header, status=400)
        assert problem["errors"][0]["parameter"] == "Last-Event-ID"
    with Stream(dashboard) as stream:
        assert stream.next() is not None
    for query, last_id in (("type=PINNED", stream.last_id), ("", f"{stream.last_id}x")):
        header = f"Last-Event-ID: {last_id}"
        problem = get_json(f"{dashboard.url}/api/follow?{query}", "--header", header, status=409)
        assert problem["type"] == "urn:argus-export:problem:resume-refused"


@needs_curl
def test_followers_have_a_limit_of_their_own(server: RunningServer, tmp_path: Path) -> None:
    server.ingest(events(1, 3))
    flags = ("--max-follows", "2", "--max-downloads", "1")
    with dashboard_process(tmp_path, server.address, *flags) as dashboard:
        with Stream(dashboard) as first, Stream(dashboard) as second:
            assert first.next()
            assert second.next()
            refused = curl(f"{dashboard.url}/api/follow")
            assert refused.status == 429
            assert b"max_follows: the limit of 2 followers at once is reached" in refused.body
            assert curl(f"{dashboard.url}/export").status == 200
        # Those that went away free their places.
        while (status := curl(f"{dashboard.url}/api/follow", "--head").status) == 429:
            pass
        assert status == 200


def test_a_stream_ends_whole_when_the_dashboard_stops(dashboard: DashboardProcess) -> None:
    with Stream(dashboard) as stream:
        assert stream.next()
        assert dashboard.stop(signal.SIGTERM) == 0
        assert stream.next() is None
        assert stream.answer.read() == b""
