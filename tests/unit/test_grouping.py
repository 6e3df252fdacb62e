"""What a request can group by and compute, and the names of what it gets."""

import pytest

from argus_grpc.columns import COLUMNS_BY_NAME
from argus_grpc.errors import InvalidField
from argus_grpc.grouping import KEY_COLUMNS, MAX_MEASURES, MEASURED_COLUMNS, choose_grouping
from argus_grpc.v1.aggregate_pb2 import GroupBy, Measure

P99 = Measure.FUNCTION_P99
SUMS = [
    Measure(function=function, column=column)
    for function in Measure.Function.values()[2:]
    for column in MEASURED_COLUMNS
]


def test_what_can_be_measured_is_durations_bytes_and_ratios() -> None:
    assert MEASURED_COLUMNS == (
        "duration_ns",
        "heap_used_before_bytes",
        "heap_used_after_bytes",
        "heap_committed_bytes",
        "cpu_jvm_user",
        "cpu_jvm_system",
        "cpu_machine_total",
        "allocation_size_bytes",
        "tlab_size_bytes",
        "metaspace_used_bytes",
        "metaspace_committed_bytes",
        "metaspace_reserved_bytes",
    )


def test_columns_are_the_keys_and_then_the_measures_in_the_order_asked_for() -> None:
    keys = [GroupBy(column="stack"), GroupBy(time_bucket_ns=1), GroupBy(column="gc_cause")]
    grouping = choose_grouping(keys, [Measure(function=P99, column="duration_ns"), Measure()])
    names = ["stack", "stack_example", "time", "gc_cause", "p99_duration_ns", "count"]
    assert [column.name for column in grouping.columns] == names == grouping.schema.names
    assert grouping.columns[3] is COLUMNS_BY_NAME["gc_cause"]
    json_names = ["stack", "stackExample", "time", "gcCause", "p99DurationNs", "count"]
    assert [column.json_name for column in grouping.columns] == json_names


def test_nothing_named_is_a_count_of_all() -> None:
    assert [column.name for column in choose_grouping([], []).columns] == ["count"]


@pytest.mark.parametrize("column", KEY_COLUMNS)
def test_no_two_columns_have_one_name(column: str) -> None:
    grouping = choose_grouping([GroupBy(column=column)], SUMS[:MAX_MEASURES])
    names = [column.name for column in grouping.columns]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("group_by", "measures", "field", "told"),
    [
        ([GroupBy()], [], "group_by[0]", "unset is not allowed; allowed: one of time_bucket_ns and column"),
        ([GroupBy(column="stack"), GroupBy(column="x")], [], "group_by[1].column", "'x' is not allowed"),
        ([GroupBy(column="")], [], "group_by[0].column", "'' is not allowed; allowed: event_type, source"),
        ([GroupBy(column="stack_trace")], [], "group_by[0].column", "gc_cause, stack"),
        ([GroupBy(column="duration_ns")], [], "group_by[0].column", "'duration_ns' is not allowed"),
        ([GroupBy(time_bucket_ns=0)], [], "group_by[0].time_bucket_ns", "0 is not allowed; allowed: 1 ns"),
        ([GroupBy(time_bucket_ns=-1)], [], "group_by[0].time_bucket_ns", "-1 is not allowed"),
        ([GroupBy(column="source")] * 2, [], "group_by[1]", "'source' is not allowed; allowed: each at"),
        ([GroupBy(time_bucket_ns=1), GroupBy(time_bucket_ns=2)], [], "group_by[1]", "each at most once"),
        ([], [Measure(function=P99)], "measures[0].column", "unset is not allowed; allowed: duration_ns"),
        ([], [Measure(function=P99, column="thread_id")], "measures[0].column", "'thread_id' is not"),
        ([], [Measure(function=P99, column="class_count")], "measures[0].column", "'class_count' is not"),
        ([], [Measure(column="duration_ns")], "measures[0].column", "allowed: none for a count"),
        ([], [Measure(), Measure(function=Measure.FUNCTION_COUNT)], "measures[1]", "'count' is not allowed"),
        ([], [Measure(function=77)], "measures[0].function", "77 is not allowed"),  # type: ignore[arg-type]
        (
            [],
            SUMS[: MAX_MEASURES + 1],
            "measures",
            "'33 measures' is not allowed; allowed: at most 32 measures",
        ),
    ],
)
def test_what_does_not_fit_is_named(
    group_by: list[GroupBy], measures: list[Measure], field: str, told: str
) -> None:
    with pytest.raises(InvalidField) as refusal:
        choose_grouping(group_by, measures)
    assert refusal.value.field == field
    assert told in refusal.value.description
