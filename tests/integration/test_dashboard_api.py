"""What the page asks for: equal to plain SQL on the same events."""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from argus_client import EventQuery, ExportClient
from argus_grpc.v1.event_pb2 import Event, EventType
from tests.conftest import RunningServer, start_server
from tests.dashboard import curl, dashboard_process, get_json, needs_curl
from tests.synthetic import FIRST_TIMESTAMP_NS, make_store

pytestmark = needs_curl

ROWS = 40_000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("server")
    make_store(folder / "events.duckdb", ROWS)
    for running in start_server(folder):
        # Many at the very same time, which no time range parts.
        end_ns = FIRST_TIMESTAMP_NS + 3_600_000_000_000
        same = Event(
            timestamp=end_ns, event_type=EventType.EVENT_TYPE_GC_PAUSE, source="burst", duration_ns=1
        )
        running.ingest([same] * 5_000)
        yield running


@pytest.fixture(scope="module")
def url(server: RunningServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with dashboard_process(tmp_path_factory.mktemp("dashboard"), server.address) as dashboard:
        yield dashboard.url


def test_columns_are_the_command_lines_with_types_and_groups(server: RunningServer, url: str) -> None:
    answer = get_json(f"{url}/api/columns")
    with ExportClient(server.address) as client:
        assert [column["name"] for column in answer["columns"]] == [c.name for c in client.columns()]
        duration = next(column for column in answer["columns"] if column["name"] == "duration_ns")
        assert (duration["jsonName"], duration["title"], duration["unit"]) == (
            "durationNs",
            "Duration (ns)",
            "ns",
        )
        assert {"name": "VIRTUAL_THREAD_PINNED", "shortName": "PINNED"} in answer["eventTypes"]
        # All that are said to be there are taken, and no others are left.
        groups = [f"{key}:1h" if key == "time" else key for key in answer["groupBy"]]
        every = client.aggregate(EventQuery(types=["CPU_LOAD"]), group_by=groups, measures="count")
        assert every.to_arrow().num_rows
        for start in range(0, len(answer["measures"]), 32):
            some = answer["measures"][start : start + 32]
            assert (
                client.aggregate(EventQuery(types=["CPU_LOAD"]), measures=some, limit=1).to_arrow().num_rows
            )
    refusal = curl(f"{url}/api/aggregate?by=nope").body.decode()
    assert set(answer["groupBy"]) - {"time"} == set(json.loads(refusal)["errors"][0]["allowed"].split(", "))


def test_plan_counts_as_sql_does(server: RunningServer, url: str) -> None:
    answer = get_json(f"{url}/api/plan?type=PINNED&min_duration=1ms&columns=thread_name,duration_ns")
    condition = "event_type = 3 AND duration_ns >= 1000000"
    [(count, watermark)] = server.sql(f"SELECT count(*) FILTER ({condition}), max(sequence) FROM events")
    assert (answer["totalEvents"], answer["watermark"]) == (count, watermark)
    assert answer["columns"] == ["thread_name", "duration_ns"]
    assert answer["query"]["type"] == ["VIRTUAL_THREAD_PINNED"]
    assert get_json(f"{url}/api/plan?source=none")["firstTimestamp"] is None


_CONDITIONS: list[tuple[dict[str, str], str]] = [
    ({}, "true"),
    ({"type": "PINNED"}, "event_type = 3"),
    ({"type": "CPU_LOAD,GC_PAUSE"}, "event_type IN (20, 10)"),
    ({"source": "burst"}, "source = 'burst'"),
    ({"source": "orders@host-2:4711"}, "source = 'orders@host-2:4711'"),
    ({"thread_name_contains": "77"}, "contains(thread_name, '77')"),
    ({"to": "2024-01-01T00:00:02Z"}, f"timestamp < {FIRST_TIMESTAMP_NS + 2_000_000_000}"),
    ({"from": "2024-01-01T00:00:03Z"}, f"timestamp >= {FIRST_TIMESTAMP_NS + 3_000_000_000}"),
    ({"min_duration": "5ms"}, "duration_ns >= 5000000"),
    ({"source": "nobody"}, "false"),
]


@given(condition=st.sampled_from(_CONDITIONS), limit=st.integers(1, 1_000))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_events_are_the_newest(
    server: RunningServer, url: str, condition: tuple[dict[str, str], str], limit: int
) -> None:
    query, sql = condition
    answer = get_json(f"{url}/api/events?{urlencode({**query, 'limit': limit, 'columns': 'source'})}")
    expected = server.sql(
        f"SELECT sequence, source FROM events WHERE {sql}"
        f" ORDER BY timestamp DESC, sequence DESC LIMIT {limit}"
    )
    assert [(event["sequence"], event["source"]) for event in answer["events"]] == expected


def test_events_are_objects_as_in_json_exports(url: str) -> None:
    exported: list[dict[str, Any]] = get_json(f"{url}/export?format=json&type=PINNED&columns=all")["events"]
    newest = get_json(f"{url}/api/events?type=PINNED&columns=all&limit=1000")["events"]
    assert newest == exported[::-1][:1000]
    by_default = get_json(f"{url}/api/events")
    assert len(by_default["events"]) == 100
    assert set(by_default["events"][0]) <= {"sequence", "timestamp", "eventType", "durationNs"}


def test_groups_are_those_of_the_library(server: RunningServer, url: str) -> None:
    query = "by=time:1s,event_type&by=carrier_thread&measure=count&measure=p99:duration_ns,max:duration_ns"
    answer = get_json(f"{url}/api/aggregate?{query}&type=PINNED,END")
    groups = server.sql(
        "SELECT timestamp // 1000000000, event_type, carrier_thread, count(*), max(duration_ns)"
        " FROM events WHERE event_type IN (2, 3) GROUP BY ALL ORDER BY ALL"
    )
    assert answer["totalGroups"] == len(groups)
    assert [(row["carrierThread"], row["count"], row["maxDurationNs"]) for row in answer["events"]] == [
        row[2:] for row in groups
    ]
    assert answer["totalEvents"] == sum(row[3] for row in groups)


def test_groups_that_a_limit_cuts_are_counted(server: RunningServer, url: str) -> None:
    [(stacks,)] = server.sql("SELECT count(DISTINCT stack_trace) FROM events WHERE event_type = 3")
    answer = curl(f"{url}/api/aggregate?by=stack&type=PINNED&limit=3")
    assert answer.headers["x-argus-rows-remaining"] == str(stacks - 3)
    assert "content-disposition" not in answer.headers
    body = json.loads(answer.body)
    assert (len(body["events"]), body["totalGroups"]) == (3, stacks)


def test_groups_come_as_files_too(url: str) -> None:
    url = f"{url}/api/aggregate?by=event_type&format=csv&from=2024-01-01&header=titles"
    answer, packed = curl(url), curl(url, "--compressed")
    assert answer.headers["content-disposition"] == 'attachment; filename="argus-aggregate-2024-01-01.csv"'
    assert answer.body.startswith(b"Event type,")
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.body == answer.body


def test_health(url: str) -> None:
    assert get_json(f"{url}/healthz") == {"status": "ok", "server": "reachable"}
    assert curl(f"{url}/healthz", "--head").status == 200
