"""Whatever a role restricts and a request asks for: what leaves, by any path, is what plain SQL and plain
Python over the policy say, no more and no less."""

import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import grpc
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from argus_grpc.columns import COLUMNS_BY_NAME
from argus_grpc.v1.aggregate_pb2 import GroupBy, Measure
from argus_grpc.v1.event_pb2 import EventType
from argus_grpc.v1.export_pb2 import (
    Encoding,
    ListColumnsRequest,
    Order,
    PlanExportRequest,
    StreamAggregatesRequest,
    StreamEventsRequest,
    StreamEventsResponse,
)
from argus_grpc.v1.query_pb2 import EventQuery
from tests import policies
from tests.guarded import Guarded, guarded_server
from tests.integration.test_aggregates import assert_same, group_keys, measure_lists, some_event, sql_of
from tests.integration.test_filters import SOURCES, queries
from tests.policies import RoleTable
from tests.refusals import refusal_of

pytestmark = pytest.mark.duckdb


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    dice = random.Random(17)
    events = []
    for _ in range(400):
        event = some_event(dice)
        event.timestamp = dice.choice(policies.EVENT_SECONDS) * 10**9
        event.source = dice.choice([*SOURCES, "orders@h:2", "orders@h:12", "oslo", "it's not"])
        # NaN is unlike itself.
        event.ClearField("cpu_jvm_user")
        event.ClearField("cpu_machine_total")
        events.append(event)
    for there in guarded_server(tmp_path_factory.mktemp("guarded")):
        there.ingest("root", events)
        yield there


def is_refused(call: Callable[[], object], fields: set[str]) -> bool:
    """Whether a call is refused: it is if there is a field to be refused, and by the name of one."""
    refusal = refusal_of(call)
    if not fields:
        assert refusal is None
        return False
    assert refusal is not None
    assert refusal[:2] == (grpc.StatusCode.PERMISSION_DENIED, "NOT_PERMITTED")
    assert refusal[2] in fields
    return True


def read_rows(messages: Sequence[StreamEventsResponse], columns: Sequence[str]) -> list[tuple[Any, ...]]:
    """What batches hold, in either encoding, event types as codes and times as nanoseconds."""
    rows: list[tuple[Any, ...]] = []
    for message in messages:
        batch = message.batch
        if batch.HasField("arrow"):
            table = pa.ipc.open_stream(batch.arrow).read_all()
            assert table.column_names == list(columns)
            rows += zip(*(_plain(table[name]) for name in columns), strict=True)
        for event in batch.rows.events:
            assert {field.name for field, _ in event.ListFields()} <= {*columns}
            rows.append(
                tuple(getattr(event, name) if event.HasField(name) else None for name in columns)  # type: ignore[arg-type]
            )
    return rows


def _plain(column: pa.ChunkedArray) -> list[Any]:
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.int64())
    values: list[Any] = column.to_pylist()
    if pa.types.is_dictionary(column.type):
        return [None if value is None else EventType.Value(f"EVENT_TYPE_{value}") for value in values]
    return values


def columns_asked() -> st.SearchStrategy[list[str]]:
    some = st.lists(st.sampled_from(list(COLUMNS_BY_NAME)), min_size=1, max_size=5, unique=True)
    return st.one_of(st.just([]), st.just(["all"]), some)


@settings(max_examples=60, deadline=None)
@given(
    role=policies.roles(),
    query=queries(policies.QUERY_SECONDS),
    columns=columns_asked(),
    encoding=st.sampled_from([Encoding.ENCODING_ROWS, Encoding.ENCODING_ARROW]),
    order=st.sampled_from([Order.ORDER_TIME, Order.ORDER_ARRIVAL]),
    limit=st.integers(1, 50),
)
def test_events_that_leave_are_those_of_the_role(
    guarded: Guarded,
    role: RoleTable,
    query: tuple[EventQuery, str],
    columns: list[str],
    encoding: "Encoding.ValueType",
    order: "Order.ValueType",
    limit: int,
) -> None:
    guarded.apply(some=role)
    exports, message, condition = guarded.running.exports, *query
    listed = exports.ListColumns(ListColumnsRequest(), metadata=guarded.as_("alice"))
    assert [column.name for column in listed.columns] == policies.shown_columns(role, ["all"])
    assert {*listed.redacted_columns} == {*role["redacted_columns"]}

    request = StreamEventsRequest(query=message, columns=columns, encoding=encoding, order=order)
    plan_request = PlanExportRequest(query=message, columns=columns)
    refused = policies.refused_fields(role, message, columns)
    if is_refused(lambda: exports.PlanExport(plan_request, metadata=guarded.as_("alice")), refused):
        assert is_refused(lambda: guarded.stream("alice", request), refused)
        return

    shown = policies.shown_columns(role, columns)
    redacted = [name for name in shown if name in role["redacted_columns"]]
    of_role = f"({policies.rows_sql(role)})"
    keys = "timestamp, sequence" if order == Order.ORDER_TIME else "sequence"
    values = ", ".join("NULL" if name in redacted else name for name in shown)
    expected = guarded.running.sql(f"SELECT {values} FROM {of_role} WHERE {condition} ORDER BY {keys}")
    ((count, first, last),) = guarded.running.sql(
        f"SELECT count(*), min(timestamp), max(timestamp) FROM {of_role} WHERE {condition}"
    )

    plan = exports.PlanExport(plan_request, metadata=guarded.as_("alice"))
    assert plan.total_events == count
    if count:
        assert plan.first_timestamp.ToNanoseconds() == first
        assert plan.last_timestamp.ToNanoseconds() == last
    assert (list(plan.redacted_columns), [c.name for c in plan.columns]) == (redacted, shown)

    first_part = guarded.stream("alice", _with(request, limit=limit))
    header, summary = first_part[0].header, first_part[-1].summary
    assert (list(header.redacted_columns), [c.name for c in header.columns]) == (redacted, shown)
    assert summary.rows_remaining == max(0, count - limit)
    # The bounds that are told hold for all that came, and nothing more was asked for.
    rows = read_rows(first_part, shown)
    token = summary.continuation_token or header.resume_token
    again = guarded.stream("alice", _with(request, resume_token=token))
    assert again[0].header.query == header.query
    rows = rows[: again[0].header.first_row] + read_rows(again, shown)
    assert rows == expected

    assert _token_refusal(guarded, "bob", _with(request, resume_token=token))
    assert _token_refusal(guarded, "root", _with(request, resume_token=token))
    narrower = {**role, "event_types": ["contention"]}
    guarded.apply(some=narrower)
    assert _token_refusal(guarded, "alice", _with(request, resume_token=token)) or message.event_types
    guarded.apply(some=role)
    assert guarded.stream("alice", _with(request, resume_token=token))[0].header.query == header.query


def _with(request: StreamEventsRequest, **fields: Any) -> StreamEventsRequest:
    changed = StreamEventsRequest()
    changed.CopyFrom(request)
    changed.MergeFrom(StreamEventsRequest(**fields))
    return changed


def _token_refusal(guarded: Guarded, name: str, request: StreamEventsRequest) -> bool:
    refusal = refusal_of(lambda: guarded.stream(name, request))
    return refusal == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_TOKEN", "resume_token")


@settings(max_examples=60, deadline=None)
@given(
    role=policies.roles(),
    query=queries(policies.QUERY_SECONDS),
    group_by=group_keys(),
    measures=measure_lists(),
)
def test_groups_that_leave_are_those_of_the_role(
    guarded: Guarded,
    role: RoleTable,
    query: tuple[EventQuery, str],
    group_by: list[GroupBy],
    measures: list[Measure],
) -> None:
    guarded.apply(some=role)
    message, condition = query
    request = StreamAggregatesRequest(
        query=message, group_by=group_by, measures=measures, encoding=Encoding.ENCODING_ARROW
    )

    def stream(name: str, token: str = "") -> list[Any]:
        asked = StreamAggregatesRequest(resume_token=token)
        asked.MergeFrom(request)
        return list(guarded.running.exports.StreamAggregates(asked, metadata=guarded.as_(name)))

    refused = policies.refused_fields(role, message, (), group_by, measures)
    if is_refused(lambda: stream("alice"), refused):
        return
    header, *batches, _ = stream("alice")
    rows: list[tuple[Any, ...]] = []
    for batch in batches:
        table = pa.ipc.open_stream(batch.batch.arrow).read_all()
        rows += zip(*map(_plain, table.columns), strict=True)
    of_role = f"({policies.rows_sql(role)})"
    sql = sql_of(condition, group_by, measures).replace("FROM events", f"FROM {of_role}", 1)
    assert_same(rows, guarded.running.sql(sql))
    ((count,),) = guarded.running.sql(f"SELECT count(*) FROM {of_role} WHERE {condition}")
    assert header.header.total_events == count

    token = header.header.resume_token
    resumed, *more, _ = stream("alice", token)
    assert (resumed.header.query, len(more)) == (header.header.query, len(batches))
    refusal = refusal_of(lambda: stream("bob", token))
    assert refusal == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_TOKEN", "resume_token")
