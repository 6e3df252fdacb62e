"""Any mix of filters gives the rows that plain SQL gives on the same file."""

import random
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given, settings
from hypothesis import strategies as st

from argus_grpc.v1.event_pb2 import Event
from argus_grpc.v1.export_pb2 import Order, PlanExportRequest, StreamEventsRequest
from argus_grpc.v1.query_pb2 import EventQuery, ThreadNameMatch
from tests.conftest import RunningServer, start_server
from tests.policies import TYPES

pytestmark = pytest.mark.duckdb

NAMES = ["worker-1", "worker-2", "Worker-2", "it's", 'q"uote', "100%", "a_b", "back\\slash", "", "🧵", None]
SOURCES = ["orders@h:1", "it's; DROP TABLE events --", "ü"]
PREFIXES = ["", "o", "orders@h:1", "it's; ", "ü", "Ü", "\U0010ffff"]
SECONDS = range(100)
GLOBS = [
    "*",
    "worker-?",
    "[wW]orker-2",
    "[!w]*",
    "*'*",
    "",
    "100%",
    "worker*",
    "**-2",
    "*_*",
    "w*r*2",
    "it's",
]


@pytest.fixture(scope="module")
def stocked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    dice = random.Random(7)
    events = [
        Event(
            timestamp=dice.choice(SECONDS) * 10**9 + dice.choice([0, 0, 1, 999_999_999]),
            event_type=dice.choice(TYPES),
            source=dice.choice(SOURCES),
            thread_id=dice.choice([None, 1, 2, 3]),
            carrier_thread=dice.choice([None, 1, 2]),
            thread_name=dice.choice(NAMES),
            duration_ns=dice.choice([None, 0, 10, 1000]),
        )
        for _ in range(1500)
    ]
    for running in start_server(tmp_path_factory.mktemp("stocked")):
        running.ingest(events)
        yield running


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _in(column: str, values: list[Any]) -> str:
    return f"{column} IN ({', '.join(_quoted(v) if isinstance(v, str) else str(v) for v in values)})"


@st.composite
def queries(draw: st.DrawFn, seconds: Sequence[int] = range(-5, 106)) -> tuple[EventQuery, str]:
    """A query, and the same as an SQL condition. seconds: when it may start or end."""
    query, conditions = EventQuery(), ["true"]
    start, end = sorted(draw(st.lists(st.sampled_from(seconds), min_size=2, max_size=2, unique=True)))
    if draw(st.booleans()):
        query.start_time.CopyFrom(Timestamp(seconds=start, nanos=1))
        conditions.append(f"timestamp >= {start * 10**9 + 1}")
    if draw(st.booleans()):
        query.end_time.CopyFrom(Timestamp(seconds=end))
        conditions.append(f"timestamp < {end * 10**9}")
    lists: dict[str, tuple[str, list[Any]]] = {
        "event_types": ("event_type", TYPES),
        "thread_ids": ("thread_id", [1, 2, 9]),
        "carrier_threads": ("carrier_thread", [1, 2]),
    }
    for field, (column, values) in lists.items():
        if chosen := draw(st.one_of(st.just([]), st.lists(st.sampled_from(values), max_size=3))):
            getattr(query, field).extend(chosen)
            conditions.append(_in(column, chosen))
    names = draw(st.one_of(st.just([]), st.lists(st.sampled_from(SOURCES), max_size=3)))
    prefixes = draw(st.one_of(st.just([]), st.lists(st.sampled_from(PREFIXES), max_size=3)))
    query.sources.extend(names)
    query.source_prefixes.extend(prefixes)
    if names or prefixes:
        beginnings = [f"starts_with(source, {_quoted(prefix)})" for prefix in prefixes]
        conditions.append(f"({' OR '.join([_in('source', names or ['none']), *beginnings])})")
    if draw(st.booleans()):
        match, condition = draw(thread_name_matches())
        query.thread_name.CopyFrom(match)
        conditions.append(condition)
    least, most = sorted(draw(st.lists(st.sampled_from([0, 9, 10, 999, 1000]), min_size=2, max_size=2)))
    if draw(st.booleans()):
        query.min_duration_ns = least
        conditions.append(f"duration_ns >= {least}")
    if draw(st.booleans()):
        query.max_duration_ns = most
        conditions.append(f"duration_ns <= {most}")
    if draw(st.booleans()):
        query.after_sequence = draw(st.integers(0, 1600))
        conditions.append(f"sequence > {query.after_sequence}")
    return query, " AND ".join(conditions)


@st.composite
def thread_name_matches(draw: st.DrawFn) -> tuple[ThreadNameMatch, str]:
    text = draw(st.sampled_from(["worker", "-2", "'", '"', "%", "_", "\\", "", "🧵", "nothing"]))
    kind = draw(st.sampled_from(["contains", "glob", "regex"]))
    if kind == "contains":
        return ThreadNameMatch(contains=text), f"contains(thread_name, {_quoted(text)})"
    if kind == "glob":
        glob = draw(st.sampled_from(GLOBS))
        return ThreadNameMatch(glob=glob), f"thread_name GLOB {_quoted(glob)}"
    regex = draw(st.sampled_from(["^w", "2$", "r.*[12]", "(?i)WORKER", "^$", "'"]))
    return ThreadNameMatch(regex=regex), f"regexp_matches(thread_name, {_quoted(regex)})"


@settings(max_examples=150, deadline=None)
@given(query=queries(), order=st.sampled_from([Order.ORDER_TIME, Order.ORDER_ARRIVAL]))
def test_rows_count_and_extent_equal_plain_sql(
    stocked: RunningServer, query: tuple[EventQuery, str], order: "Order.ValueType"
) -> None:
    message, condition = query
    keys = "timestamp, sequence" if order == Order.ORDER_TIME else "sequence"
    expected = stocked.sql(f"SELECT sequence, timestamp FROM events WHERE {condition} ORDER BY {keys}")

    request = StreamEventsRequest(query=message, columns=["sequence", "timestamp"], order=order)
    answers = list(stocked.exports.StreamEvents(request))
    rows = [(event.sequence, event.timestamp) for answer in answers for event in answer.batch.rows.events]
    plan = stocked.exports.PlanExport(PlanExportRequest(query=message))

    assert rows == expected
    assert answers[0].header.total_events == len(expected)
    assert plan.total_events == len(expected)
    if expected:
        timestamps = [timestamp for _, timestamp in expected]
        assert plan.first_timestamp.ToNanoseconds() == min(timestamps)
        assert plan.last_timestamp.ToNanoseconds() == max(timestamps)


@pytest.mark.parametrize(
    "match", [{"glob": "*a" * 220 + "*b"}, {"regex": f"^{'.*a' * 220}.*b$"}, {"regex": "(a*)*" * 150 + "b"}]
)
def test_patterns_take_linear_time(server: RunningServer, match: dict[str, str]) -> None:
    # DuckDB 1.5 made a LIKE of the first, and took exponential time.
    server.ingest([Event(timestamp=1, event_type=TYPES[0], source="s", thread_name="a" * 100_000)])
    request = PlanExportRequest(query=EventQuery(thread_name=ThreadNameMatch(**match)))
    assert server.exports.PlanExport(request, timeout=30).total_events == 0


def test_an_expression_that_begins_with_nothing(server: RunningServer) -> None:
    # DuckDB's rewriting would take it for the empty text.
    server.ingest(
        [Event(timestamp=1, event_type=TYPES[0], source="s", thread_name=n) for n in ("a worker", "x")]
    )
    match = ThreadNameMatch(regex="(?:)worker")
    assert server.exports.PlanExport(PlanExportRequest(query=EventQuery(thread_name=match))).total_events == 1


@pytest.mark.parametrize(
    ("regex", "matched"),
    [
        ("^(?<kind>work)er$", "worker"),
        ("((?<a>x)(?<b>y)|w)orker", "worker"),
        # These are no groups.
        (r"^\(?<a$", "(<a"),
        (r"\Q(?<a>\E", "(?<a>"),
        ("^[(?<a>]{5}$", "(?<a>"),
    ],
)
def test_named_groups_may_be_written_as_in_java(server: RunningServer, regex: str, matched: str) -> None:
    names = ("worker", "(<a", "(?<a>", "(?P<a>")
    server.ingest([Event(timestamp=1, event_type=TYPES[0], source="s", thread_name=n) for n in names])
    query = EventQuery(thread_name=ThreadNameMatch(regex=regex))
    (header, batch, _) = server.exports.StreamEvents(StreamEventsRequest(query=query))
    assert header.header.total_events == 1
    assert [event.thread_name for event in batch.batch.rows.events] == [matched]
