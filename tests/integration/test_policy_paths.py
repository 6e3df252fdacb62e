"""What leaves a follower and comes in by ingest is what the caller's role allows, as time moves on too."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from argus_grpc.columns import EVENT_TYPE_NAMES
from argus_grpc.v1.aggregate_pb2 import GroupBy
from argus_grpc.v1.event_pb2 import Event, Events, EventType
from argus_grpc.v1.export_pb2 import (
    Order,
    PlanExportRequest,
    StreamAggregatesRequest,
    StreamEventsRequest,
    StreamEventsResponse,
)
from argus_grpc.v1.ingest_pb2 import IngestEventsRequest
from tests import policies
from tests.guarded import EVERYTHING, Guarded, guarded_server
from tests.integration.test_filters import SOURCES
from tests.policies import TYPES, RoleTable
from tests.refusals import refusal_of

pytestmark = pytest.mark.duckdb

PINNED, CONTENTION = EventType.EVENT_TYPE_VIRTUAL_THREAD_PINNED, EventType.EVENT_TYPE_CONTENTION
HOUR_NS = 3600 * 10**9
SECOND_NS = 10**9
LARGE = "x" * 70_000
"""More than what is decoded together with other batches."""


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    yield from guarded_server(tmp_path_factory.mktemp("guarded"))


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Guarded]:
    yield from guarded_server(tmp_path)


def arrow_stream(events: list[Event]) -> bytes:
    batch = pa.RecordBatch.from_pylist(
        [
            {
                "timestamp": event.timestamp,
                "event_type": EVENT_TYPE_NAMES[event.event_type],
                "source": event.source,
                "stack_trace": event.stack_trace,
            }
            for event in events
        ]
    )
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    stream: bytes = sink.getvalue().to_pybytes()
    return stream


def forbidden_field(role: RoleTable, events: list[Event], path: str) -> str | None:
    """The field of the first source that the role may not bring, else of the first type."""
    for place, event in enumerate(events):
        if not policies.allows_source(role, event.source):
            return path.format(place=place, name="source")
    for place, event in enumerate(events):
        if not policies.allows_type(role, event.event_type):
            return path.format(place=place, name="event_type")
    return None


batches = st.lists(st.tuples(st.sampled_from(SOURCES), st.sampled_from(TYPES)), min_size=1, max_size=4)


@settings(max_examples=60, deadline=None)
@given(
    role=policies.roles(),
    batch=batches,
    is_arrow=st.booleans(),
    is_large=st.booleans(),
    batch_source=st.one_of(st.none(), st.sampled_from(SOURCES)),
)
def test_only_what_the_role_may_bring_is_stored(
    guarded: Guarded,
    role: RoleTable,
    batch: list[tuple[str, "EventType.ValueType"]],
    is_arrow: bool,
    is_large: bool,
    batch_source: str | None,
) -> None:
    guarded.apply(some=role)
    events = [
        Event(timestamp=1, source=source, event_type=type_, stack_trace=LARGE if is_large else "")
        for source, type_ in batch
    ]
    request = IngestEventsRequest()
    if is_arrow:
        request.arrow = arrow_stream(events)
    else:
        request.rows.events.extend(events)
    expected = forbidden_field(
        role, events, "arrow.{name}[{place}]" if is_arrow else "rows.events[{place}].{name}"
    )
    if batch_source is not None:
        request.source, request.batch_id = batch_source, f"batch-{time.monotonic_ns()}"
        if not policies.allows_source(role, batch_source):
            expected = "source"
    ((before,),) = guarded.running.sql("SELECT count(*) FROM events")
    refusal = refusal_of(lambda: guarded.running.ingests.IngestEvents(request, metadata=guarded.as_("alice")))
    if expected:
        assert refusal == (grpc.StatusCode.PERMISSION_DENIED, "NOT_PERMITTED", expected)
    else:
        assert refusal is None
    ((after,),) = guarded.running.sql("SELECT count(*) FROM events")
    assert after - before == (0 if expected else len(events))


def test_of_batches_that_come_together_each_is_judged_by_its_own_role(empty: Guarded) -> None:
    empty.apply(some=EVERYTHING | {"sources": ["a*"]})

    def begin(name: str, source: str) -> Any:
        pair = [Event(timestamp=1, event_type=PINNED, source=source_) for source_ in ("a", source)]
        request = IngestEventsRequest(rows=Events(events=pair))
        return empty.running.ingests.IngestEvents.future(request, metadata=empty.as_(name))

    kinds = [(name, source) for name in ("alice", "root") for source in ("ab", "b")] * 10
    calls = [(name, source, begin(name, source)) for name, source in kinds]
    stored = 0
    for name, source, call in calls:
        refusal = refusal_of(call.result)
        if (name, source) == ("alice", "b"):
            assert refusal == (grpc.StatusCode.PERMISSION_DENIED, "NOT_PERMITTED", "rows.events[1].source")
        else:
            assert refusal is None
            stored += 2
    assert empty.running.sql("SELECT count(*) FROM events") == [(stored,)]


def reach_into_the_past(role: RoleTable, at_ns: int) -> None:
    """Waits until the role's hour has moved on beyond a time."""
    assert role["max_age"] == "1h"
    while time.time_ns() - HOUR_NS <= at_ns:
        time.sleep(0.01)


def sequences_until(
    stream: Iterator[StreamEventsResponse], is_last: Callable[[Event], bool]
) -> tuple[list[int], str]:
    """The sequences of the events up to one, and the token behind that."""
    sequences: list[int] = []
    for message in stream:
        for event in message.batch.rows.events:
            assert not event.HasField("thread_name")
            sequences.append(event.sequence)
            if is_last(event):
                return sequences, message.batch.resume_token
    raise AssertionError("the stream ended")


def test_a_follower_gets_what_its_role_may_see_when_it_is_sent(empty: Guarded) -> None:
    role = EVERYTHING | {
        "sources": ["a*"],
        "event_types": ["pinned"],
        "max_age": "1h",
        "redacted_columns": ["thread_name"],
    }
    empty.apply(some=role)
    now_ns = time.time_ns()
    common: dict[str, Any] = {"timestamp": now_ns, "event_type": PINNED, "source": "ab", "thread_name": "n"}
    late_ns = now_ns - HOUR_NS + SECOND_NS // 2

    def event(**fields: Any) -> Event:
        return Event(**(common | fields))

    first = empty.ingest("root", [event(), event(source="b"), event(event_type=CONTENTION)])
    seen = [first.first_sequence]
    request = StreamEventsRequest(columns=["all"], follow=True)
    stream = empty.running.exports.StreamEvents(request, metadata=empty.as_("alice"))
    assert next(stream).header.total_events == 1

    # In reach when the follower began, and not any more when it comes.
    reach_into_the_past(role, late_ns)
    second = empty.ingest(
        "root", [event(timestamp=late_ns), event(source="b"), event(), event(timestamp=now_ns - 2 * HOUR_NS)]
    )
    seen.append(second.first_sequence + 2)
    marker = empty.ingest("root", [event(class_name="marker")])
    seen.append(marker.first_sequence)
    found, token = sequences_until(stream, lambda event: event.class_name == "marker")
    assert found == seen
    stream.cancel()

    third = empty.ingest("root", [event(source="b"), event(timestamp=late_ns), event(class_name="last")])
    resumed = StreamEventsRequest(columns=["all"], follow=True, resume_token=token)
    stream = empty.running.exports.StreamEvents(resumed, metadata=empty.as_("alice"))
    found, token = sequences_until(stream, lambda event: event.class_name == "last")
    assert found == [third.last_sequence]
    stream.cancel()
    as_bob = StreamEventsRequest(columns=["all"], follow=True, resume_token=token)
    refusal = refusal_of(lambda: empty.stream("bob", as_bob))
    assert refusal == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_TOKEN", "resume_token")


@pytest.mark.parametrize("order", [Order.ORDER_TIME, Order.ORDER_ARRIVAL])
def test_what_has_fallen_out_of_reach_is_refused_by_name_and_what_has_not_comes(
    empty: Guarded, order: "Order.ValueType"
) -> None:
    role = EVERYTHING | {"max_age": "1h"}
    empty.apply(some=role)
    now_ns = time.time_ns()
    falling_ns = now_ns - HOUR_NS + SECOND_NS
    times = [now_ns - 2 * HOUR_NS, falling_ns, now_ns]
    empty.ingest("root", [Event(timestamp=ns, event_type=PINNED, source="a") for ns in times])
    header, batch, summary = empty.stream("alice", StreamEventsRequest(order=order, limit=1))
    assert (header.header.total_events, summary.summary.rows_remaining) == (1, 1)
    assert batch.batch.rows.events[0].timestamp == falling_ns
    grouping = StreamAggregatesRequest(group_by=[GroupBy(column="source")])
    groups, *_ = empty.running.exports.StreamAggregates(grouping, metadata=empty.as_("alice"))

    reach_into_the_past(role, falling_ns)
    rest = empty.stream(
        "alice", StreamEventsRequest(order=order, resume_token=summary.summary.continuation_token)
    )
    assert [event.timestamp for event in rest[1].batch.rows.events] == [now_ns]
    # What is told of the whole export stays.
    assert rest[0].header.query == header.header.query
    assert rest[-1].summary.total_rows == 2

    out_of_reach = (grpc.StatusCode.FAILED_PRECONDITION, "OUT_OF_REACH", "")
    anew = StreamEventsRequest(order=order, resume_token=header.header.resume_token)
    assert refusal_of(lambda: empty.stream("alice", anew)) == out_of_reach
    grouping.resume_token = groups.header.resume_token
    assert (
        refusal_of(
            lambda: list(empty.running.exports.StreamAggregates(grouping, metadata=empty.as_("alice")))
        )
        == out_of_reach
    )
    plan = empty.running.exports.PlanExport(PlanExportRequest(), metadata=empty.as_("alice"))
    assert plan.total_events == 1


def test_a_plan_tells_nothing_of_the_size_of_what_is_redacted(empty: Guarded) -> None:
    events = [Event(timestamp=1, event_type=PINNED, source="a", stack_trace=LARGE) for _ in range(3)]
    empty.ingest("root", events)
    request = PlanExportRequest(columns=["timestamp", "stack_trace"])
    plan = empty.running.exports.PlanExport
    assert plan(request, metadata=empty.as_("alice")).estimated_csv_bytes > 3 * len(LARGE)
    empty.apply(some=EVERYTHING | {"redacted_columns": ["stack_trace"]})
    assert plan(request, metadata=empty.as_("alice")).estimated_csv_bytes < 200


def test_a_follower_ends_when_its_role_changes_and_is_judged_anew(empty: Guarded) -> None:
    empty.ingest("root", [Event(timestamp=1, event_type=PINNED, source=source) for source in ("a", "b")])
    request = StreamEventsRequest(follow=True)
    alices, roots = (
        empty.running.exports.StreamEvents(request, metadata=empty.as_(name)) for name in ("alice", "root")
    )
    token = next(alices).header.resume_token
    assert next(roots).header.total_events == 2

    empty.apply(some=EVERYTHING | {"sources": ["a"]})
    refusal = refusal_of(lambda: list(alices))
    assert refusal == (grpc.StatusCode.UNAVAILABLE, "ACCESS_CHANGED", "")
    refusal = refusal_of(lambda: empty.stream("alice", StreamEventsRequest(resume_token=token)))
    assert refusal == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_TOKEN", "resume_token")
    header, *_ = empty.stream("alice", StreamEventsRequest())
    assert (header.header.total_events, list(header.header.query.sources)) == (1, ["a"])

    # Another role's goes on.
    empty.ingest("root", [Event(timestamp=2, event_type=PINNED, source="c")])
    assert next(m for m in roots if m.batch.first_row == 2).batch.row_count == 1
    roots.cancel()
