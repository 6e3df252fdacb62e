"""Any grouping of any mix of filters gives the rows that plain SQL gives on the same file."""

import hashlib
import math
import random
from collections.abc import Iterator, Sequence
from typing import Any

import grpc
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from argus_client import EventQuery, ExportClient
from argus_grpc.grouping import KEY_COLUMNS, MEASURED_COLUMNS
from argus_grpc.v1.aggregate_pb2 import AggregateRow, GroupBy, Measure
from argus_grpc.v1.event_pb2 import Event, EventType
from argus_grpc.v1.export_pb2 import (
    ColumnType,
    Encoding,
    ExportHeader,
    PlanExportRequest,
    StreamAggregatesRequest,
)
from argus_grpc.v1.query_pb2 import EventQuery as EventQueryMessage
from tests.conftest import RunningServer, start_server
from tests.integration.test_filters import NAMES, SOURCES, queries
from tests.policies import TYPES

pytestmark = pytest.mark.duckdb

INT64_MIN = -(2**63)
STACKS = ["a(A.java:1)", "a(A.java:1)\nb(B.java:2)", "ü 🧵", "", None]
RATIOS = [None, math.nan, 0.0, 1.0, 1 / 3, 0.1, 2**-70]
SECOND_NS = 10**9
WIDTHS_NS = [1, 7, SECOND_NS, 10 * SECOND_NS, 60 * SECOND_NS + 1, 2**62, 2**63 - 1]
FUNCTIONS = {
    Measure.FUNCTION_SUM: "sum({})",
    Measure.FUNCTION_MIN: "min({})",
    Measure.FUNCTION_MAX: "max({})",
    Measure.FUNCTION_AVG: "avg({})",
    Measure.FUNCTION_P50: "quantile_disc({}, 0.50)",
    Measure.FUNCTION_P90: "quantile_disc({}, 0.90)",
    Measure.FUNCTION_P95: "quantile_disc({}, 0.95)",
    Measure.FUNCTION_P99: "quantile_disc({}, 0.99)",
}
RATIO_COLUMNS = ("cpu_jvm_user", "cpu_jvm_system", "cpu_machine_total")


def some_event(dice: random.Random) -> Event:
    return Event(
        # Before 1970 too.
        timestamp=dice.randrange(-20, 100) * SECOND_NS + dice.choice([0, 0, 1, 999_999_999]),
        event_type=dice.choice(TYPES),
        source=dice.choice(SOURCES),
        carrier_thread=dice.choice([None, 1, 2]),
        thread_name=dice.choice(NAMES),
        duration_ns=dice.choice([None, 0, 10, 1000, dice.randrange(10**12)]),
        stack_trace=dice.choice(STACKS),
        class_name=dice.choice([None, "byte[]", "A"]),
        method_name=dice.choice([None, "run", ""]),
        monitor_class=dice.choice([None, "java.lang.Object"]),
        gc_cause=dice.choice([None, "G1 Evacuation Pause"]),
        allocation_size_bytes=dice.choice([None, 2**40, dice.randrange(100)]),
        cpu_jvm_user=dice.choice([*RATIOS, dice.random()]),
        cpu_machine_total=dice.choice([None, math.nan]),
    )


@pytest.fixture(scope="module")
def stocked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    dice = random.Random(11)
    for running in start_server(tmp_path_factory.mktemp("stocked")):
        running.ingest([some_event(dice) for _ in range(1500)])
        yield running


def arrow_of(
    server: RunningServer, request: StreamAggregatesRequest
) -> tuple[ExportHeader, list[tuple[Any, ...]]]:
    """The header, and all rows with event types by number and times as nanoseconds."""
    request.encoding = Encoding.ENCODING_ARROW
    header, *batches, summary = server.exports.StreamAggregates(request)
    rows: list[tuple[Any, ...]] = []
    for message in batches:
        table = pa.ipc.open_stream(message.batch.arrow).read_all()
        columns = []
        for name, column in zip(table.column_names, table.columns, strict=True):
            if name == "time":
                column = column.cast(pa.int64())
            values = column.to_pylist()
            if name == "event_type":
                values = [EventType.Value(f"EVENT_TYPE_{value}") for value in values]
            columns.append(values)
        rows += zip(*columns, strict=True)
    assert summary.summary.total_rows == len(rows) == header.header.aggregation.total_groups
    return header.header, rows


def key_sql(key: GroupBy) -> list[str]:
    if key.WhichOneof("key") == "time_bucket_ns":
        # Python's and mathematics' floor, in integers wider than any timestamp.
        wide, width = "timestamp::HUGEINT", f"{key.time_bucket_ns}::HUGEINT"
        floor = f"({wide} - (({wide} % {width}) + {width}) % {width})"
        return [f"greatest({floor}, -9223372036854775808)::BIGINT"]
    if key.column == "stack":
        return ["left(md5(stack_trace), 16)", "stack_trace"]
    return [key.column]


def measure_sql(measure: Measure) -> str:
    if not measure.column:
        return "count(*)"
    is_ratio = measure.column in RATIO_COLUMNS
    value = f"CASE WHEN NOT isnan({measure.column}) THEN {measure.column} END" if is_ratio else measure.column
    return FUNCTIONS[measure.function].format(value)


def sql_of(condition: str, group_by: Sequence[GroupBy], measures: Sequence[Measure]) -> str:
    keys = [part for key in group_by for part in key_sql(key)]
    places = ", ".join(str(place) for place in range(1, len(keys) + 1))
    select = ", ".join([*keys, *map(measure_sql, measures or [Measure()])])
    grouped = f" GROUP BY {places} ORDER BY {places}" if keys else ""
    return f"SELECT {select} FROM events WHERE {condition}{grouped}"


def assert_same(found: Sequence[tuple[Any, ...]], expected: Sequence[tuple[Any, ...]]) -> None:
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected, strict=True):
        for mine, its in zip(ours, theirs, strict=True):
            # Floating-point sums depend on their order; all else is exact.
            close = isinstance(its, float) and its == pytest.approx(mine, rel=1e-12, abs=1e-17)
            assert mine == its or close, (ours, theirs)


def group_keys() -> st.SearchStrategy[list[GroupBy]]:
    time = st.sampled_from(WIDTHS_NS).map(lambda width: GroupBy(time_bucket_ns=width))
    column = st.sampled_from(KEY_COLUMNS).map(lambda name: GroupBy(column=name))
    return st.lists(st.one_of(time, column), max_size=4, unique_by=lambda key: key.column)


def measure_lists() -> st.SearchStrategy[list[Measure]]:
    of_column = st.builds(
        lambda function, column: Measure(function=function, column=column),
        st.sampled_from(sorted(FUNCTIONS)),
        st.sampled_from(MEASURED_COLUMNS),
    )
    one = st.one_of(st.just(Measure(function=Measure.FUNCTION_COUNT)), of_column)
    return st.lists(one, max_size=4, unique_by=lambda measure: (measure.function, measure.column))


@settings(deadline=None, max_examples=150)
@given(query=queries(), group_by=group_keys(), measures=measure_lists())
def test_any_grouping_equals_plain_sql(
    stocked: RunningServer,
    query: tuple[EventQueryMessage, str],
    group_by: list[GroupBy],
    measures: list[Measure],
) -> None:
    message, condition = query
    request = StreamAggregatesRequest(query=message, group_by=group_by, measures=measures)
    header, rows = arrow_of(stocked, request)
    assert_same(rows, stocked.sql(sql_of(condition, group_by, measures)))
    plan = stocked.exports.PlanExport(PlanExportRequest(query=message))
    assert header.total_events == plan.total_events
    counts, counted = arrow_of(stocked, StreamAggregatesRequest(query=message, group_by=group_by))
    assert sum(row[-1] for row in counted) == plan.total_events == counts.total_events


@pytest.mark.parametrize("column", MEASURED_COLUMNS)
def test_every_measure_of_every_column_equals_plain_sql(stocked: RunningServer, column: str) -> None:
    measures = [Measure(function=function, column=column) for function in FUNCTIONS]
    group_by = [GroupBy(column="event_type"), GroupBy(column="stack")]
    _, rows = arrow_of(stocked, StreamAggregatesRequest(group_by=group_by, measures=measures))
    assert_same(rows, stocked.sql(sql_of("true", group_by, measures)))


def cell_values(row: AggregateRow) -> tuple[Any, ...]:
    kinds = [cell.WhichOneof("value") for cell in row.cells]
    return tuple(kind and getattr(cell, kind) for kind, cell in zip(kinds, row.cells, strict=True))


def test_rows_say_the_same_as_arrow_in_the_types_of_the_header(stocked: RunningServer) -> None:
    request = StreamAggregatesRequest(
        group_by=[
            GroupBy(column="stack"),
            GroupBy(time_bucket_ns=50 * SECOND_NS),
            GroupBy(column="event_type"),
            GroupBy(column="carrier_thread"),
        ],
        measures=[
            Measure(),
            Measure(function=Measure.FUNCTION_P95, column="cpu_jvm_user"),
            Measure(function=Measure.FUNCTION_AVG, column="duration_ns"),
            Measure(function=Measure.FUNCTION_SUM, column="allocation_size_bytes"),
        ],
        max_batch_bytes=16 * 1024,
    )
    header, expected = arrow_of(stocked, request)
    request.encoding = Encoding.ENCODING_ROWS
    _, *batches, _ = stocked.exports.StreamAggregates(request)
    assert len(batches) > 1
    assert [cell_values(row) for message in batches for row in message.batch.rows.rows] == expected
    assert [(column.name, column.json_name, column.type, column.unit) for column in header.columns] == [
        ("stack", "stack", ColumnType.COLUMN_TYPE_STRING, ""),
        ("stack_example", "stackExample", ColumnType.COLUMN_TYPE_STRING, ""),
        ("time", "time", ColumnType.COLUMN_TYPE_TIMESTAMP_NS, "ns"),
        ("event_type", "eventType", ColumnType.COLUMN_TYPE_EVENT_TYPE, ""),
        ("carrier_thread", "carrierThread", ColumnType.COLUMN_TYPE_INT64, ""),
        ("count", "count", ColumnType.COLUMN_TYPE_INT64, "1"),
        ("p95_cpu_jvm_user", "p95CpuJvmUser", ColumnType.COLUMN_TYPE_DOUBLE, "1"),
        ("avg_duration_ns", "avgDurationNs", ColumnType.COLUMN_TYPE_DOUBLE, "ns"),
        ("sum_allocation_size_bytes", "sumAllocationSizeBytes", ColumnType.COLUMN_TYPE_INT64, "By"),
    ]


def test_a_stack_is_named_by_the_start_of_its_md5(stocked: RunningServer) -> None:
    _, rows = arrow_of(stocked, StreamAggregatesRequest(group_by=[GroupBy(column="stack")]))
    texts = [text for text in STACKS if text is not None]
    named = [(hashlib.md5(text.encode()).hexdigest()[:16], text) for text in texts]  # noqa: S324 - no secret
    assert [row[:2] for row in rows] == [*sorted(named), (None, None)]


def test_no_events_are_no_groups_but_without_keys_one(server: RunningServer) -> None:
    measures = [Measure(), *(Measure(function=function, column="duration_ns") for function in FUNCTIONS)]
    assert arrow_of(server, StreamAggregatesRequest(measures=measures))[1] == [(0, *[None] * len(FUNCTIONS))]
    assert arrow_of(server, StreamAggregatesRequest(group_by=[GroupBy(column="source")]))[1] == []


def test_a_sum_is_exact_to_64_bits_and_refused_by_name_beyond(server: RunningServer) -> None:
    durations = [2**62, 2**62 - 1]
    for duration in durations:
        server.ingest([pinned(0, duration_ns=duration)])
    request = StreamAggregatesRequest(
        group_by=[GroupBy(column="stack")],
        measures=[Measure(), Measure(function=Measure.FUNCTION_SUM, column="duration_ns")],
    )
    assert arrow_of(server, request)[1] == [(None, None, 2, 2**63 - 1)]
    server.ingest([pinned(0, duration_ns=1)])
    with pytest.raises(grpc.RpcError) as refusal:
        list(server.exports.StreamAggregates(request))
    assert refusal.value.code() == grpc.StatusCode.OUT_OF_RANGE
    assert str(refusal.value.details()).startswith("measures[1]: the sum of duration_ns is beyond 64 bits")


def test_a_sum_of_ratios_does_not_depend_on_the_order_of_events(server: RunningServer) -> None:
    dice = random.Random(3)
    ratios = [dice.random() for _ in range(2_000)]
    for source in ("a", "b", "c"):
        dice.shuffle(ratios)
        server.ingest([pinned(0, source=source, cpu_jvm_user=ratio) for ratio in ratios])
    _, rows = arrow_of(
        server,
        StreamAggregatesRequest(
            group_by=[GroupBy(column="source")],
            measures=[
                Measure(function=Measure.FUNCTION_SUM, column="cpu_jvm_user"),
                Measure(function=Measure.FUNCTION_AVG, column="cpu_jvm_user"),
            ],
        ),
    )
    assert len({row[1:] for row in rows}) == 1
    assert rows[0][1] == pytest.approx(math.fsum(ratios), rel=1e-15)


def test_ratios_beyond_all_sense_are_summed_as_they_are(server: RunningServer) -> None:
    ratios = {"a": (1e300, 1.0), "b": (math.inf, 1.0), "c": (-math.inf, math.inf)}
    for source, both in ratios.items():
        server.ingest([pinned(0, cpu_jvm_user=ratio, source=source) for ratio in both])
    _, rows = arrow_of(
        server,
        StreamAggregatesRequest(
            group_by=[GroupBy(column="source")],
            measures=[Measure(function=Measure.FUNCTION_SUM, column="cpu_jvm_user")],
        ),
    )
    assert rows[:2] == [("a", 1e300), ("b", math.inf)]
    assert math.isnan(rows[2][1])


def test_buckets_are_aligned_to_1970_before_it_too(server: RunningServer) -> None:
    width = 10
    timestamps = [INT64_MIN, -11, -10, -1, 0, 9, 10, 2**63 - 1]
    server.ingest([pinned(timestamp) for timestamp in timestamps])
    _, rows = arrow_of(server, StreamAggregatesRequest(group_by=[GroupBy(time_bucket_ns=width)]))
    assert [row[0] for row in rows] == sorted({max(t // width * width, INT64_MIN) for t in timestamps})


def test_rows_with_the_largest_texts_fit_messages(server: RunningServer) -> None:
    large = 2_900_000
    for letter in "abc":
        server.ingest([pinned(0, stack_trace=letter * large)])
    server.ingest([pinned(i, stack_trace=f"{i}" * 40_000) for i in range(40)])
    with ExportClient(server.address) as client:
        # gRPC's own limit of 4 MiB is the check.
        table = client.aggregate(group_by=["stack", "thread_name"], measures="count").to_arrow()
    assert table.num_rows == 43
    assert sum(len(text) > large - 1 for text in table["stack_example"].to_pylist()) == 3
    request = StreamAggregatesRequest(group_by=[GroupBy(column="stack")])
    sizes = [message.ByteSize() for message in server.exports.StreamAggregates(request)]
    assert max(sizes) < 4 * 1024 * 1024


def test_a_snapshot_stays_what_it_was_while_events_come(server: RunningServer) -> None:
    server.ingest([pinned(i, thread_name=str(i % 100)) for i in range(1_000)])
    with ExportClient(server.address) as client:
        with client.aggregate(group_by="thread_name", measures="count", max_batch_bytes=16 * 1024) as first:
            watermark, point = first.header.watermark, first.resume_point
            server.ingest([pinned(i, thread_name="late") for i in range(500)])
            whole = first.to_arrow()
        again = client.aggregate(group_by="thread_name", measures="count", resume_from=point).to_arrow()
        newer = client.aggregate(
            EventQuery(after_sequence=watermark), group_by="thread_name", measures="count"
        )
        assert newer.to_arrow().to_pylist() == [{"thread_name": "late", "count": 500}]
    assert whole.equals(again)
    assert sum(whole["count"].to_pylist()) == 1_000


def pinned(timestamp: int, **fields: Any) -> Event:
    return Event(
        timestamp=timestamp,
        event_type=EventType.EVENT_TYPE_VIRTUAL_THREAD_PINNED,
        **{"source": "s", **fields},
    )
