"""Group keys and measures as people write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argus_client.grouping import format_group_key, format_measure, parse_group_key, parse_measure
from argus_grpc.v1.aggregate_pb2 import GroupBy, Measure


@given(
    st.one_of(
        st.integers(1, 2**63 - 1).map(lambda width: GroupBy(time_bucket_ns=width)),
        st.sampled_from(["event_type", "stack"]).map(lambda column: GroupBy(column=column)),
    )
)
def test_a_key_reads_back_as_it_is_written(key: GroupBy) -> None:
    assert parse_group_key(format_group_key(key)) == key


@given(st.sampled_from(Measure.Function.values()[2:]))
def test_a_measure_reads_back_as_it_is_written(function: "Measure.Function.ValueType") -> None:
    measure = Measure(function=function, column="duration_ns")
    assert parse_measure(format_measure(measure)) == measure


def test_what_people_write() -> None:
    assert parse_group_key("time:1m30s") == GroupBy(time_bucket_ns=90 * 10**9)
    assert parse_group_key(" stack ") == GroupBy(column="stack")
    assert parse_measure("COUNT") == Measure(function=Measure.FUNCTION_COUNT)
    assert parse_measure("P99: duration_ns") == Measure(function=Measure.FUNCTION_P99, column="duration_ns")
    assert format_measure(Measure()) == "count"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("time", "'time' needs a width: time:1m"),
        ("time:", "'' is not a duration"),
        ("time:soon", "'soon' is not a duration; write 250us"),
    ],
)
def test_a_key_that_is_none_is_told_apart(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        parse_group_key(text)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("p98:duration_ns", "'p98:duration_ns' is not a measure; write count, or one of sum, min"),
        ("", "'' is not a measure"),
        ("p99", "'p99' needs a column: p99:duration_ns"),
    ],
)
def test_a_measure_that_is_none_is_told_apart(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        parse_measure(text)
