"""Instants and durations as people write them."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import example, given
from hypothesis import strategies as st

from argus_client.times import INT64_MAX, INT64_MIN, format_instant, parse_duration_ns, parse_instant_ns

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
int64s = st.integers(INT64_MIN, INT64_MAX)


@given(int64s)
@example(INT64_MIN)
@example(INT64_MAX)
@example(-1)
@example(0)
def test_every_int64_comes_back_and_reads_as_protobuf_has_it(ns: int) -> None:
    text = format_instant(ns)
    assert parse_instant_ns(text) == ns
    seconds, nanos = divmod(ns, 10**9)
    assert text == Timestamp(seconds=seconds, nanos=nanos).ToJsonString()


@given(
    st.datetimes(),
    st.integers(-23 * 60 - 59, 23 * 60 + 59),
    st.sampled_from(["auto", "milliseconds", "microseconds"]),
    st.sampled_from(["T", "t", " "]),
)
def test_instants_are_read_as_datetime_reads_them(
    moment: datetime, zone_min: int, spec: str, sep: str
) -> None:
    text = moment.replace(tzinfo=timezone(timedelta(minutes=zone_min))).isoformat(sep, spec)
    oracle = datetime.fromisoformat(text)
    assert parse_instant_ns(text) == (oracle - EPOCH) // timedelta(microseconds=1) * 1000


@pytest.mark.parametrize(
    ("text", "same_as"),
    [
        ("2024-01-31", "2024-01-31T00:00:00Z"),
        ("2024-01-31T08:30", "2024-01-31T08:30:00Z"),
        ("2024-01-31 08:30:15", "2024-01-31T08:30:15Z"),
        ("2024-01-31t08:30:15.5z", "2024-01-31T08:30:15.500Z"),
        (" 2024-01-31T08:30:15.123456789+01:00 ", "2024-01-31T07:30:15.123456789Z"),
        ("2024-01-01T00:00:00-00:30", "2024-01-01T00:30:00Z"),
    ],
)
def test_what_may_be_left_out(text: str, same_as: str) -> None:
    assert format_instant(parse_instant_ns(text)) == same_as


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "2024",
        "2024-02-30",
        "2024-1-1",
        "2024-01-31T",
        "2024-01-31Z",
        "2024-01-31T25:00:00Z",
        "2024-01-31T08:30:60Z",
        "2024-01-31T08:30.5Z",
        "2024-01-31T08:30:00.Z",
        "2024-01-31T08:30:00.0123456789Z",
        "2024-01-31T08:30:00+0100",
        "2024-01-31T08:30:00+25:00",
        "\u0662024-01-31",  # an Arabic-Indic digit
        "1704067200",
    ],
)
def test_what_is_not_a_time_is_refused_by_name(text: str) -> None:
    with pytest.raises(ValueError, match="is not a time") as caught:
        parse_instant_ns(text)
    assert repr(text) in str(caught.value)


@given(st.integers(0, 10**6), st.sampled_from(["us", "ms", "s", "m", "h", "d"]))
def test_whole_durations_are_what_timedelta_makes_of_them(count: int, unit: str) -> None:
    names = {
        "us": "microseconds",
        "ms": "milliseconds",
        "s": "seconds",
        "m": "minutes",
        "h": "hours",
        "d": "days",
    }
    oracle = timedelta(**{names[unit]: count}) // timedelta(microseconds=1) * 1000
    assert parse_duration_ns(f"{count}{unit}") == oracle


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("0ns", 0),
        ("250us", 250_000),
        ("250µs", 250_000),
        ("10ms", 10_000_000),
        ("1.5s", 1_500_000_000),
        ("0.000000001s", 1),
        ("1h30m", 5_400 * 10**9),
        ("1h 30m", 5_400 * 10**9),
        ("7d", 604_800 * 10**9),
    ],
)
def test_durations(text: str, ns: int) -> None:
    assert parse_duration_ns(text) == ns


@pytest.mark.parametrize("text", ["", "10", "ms", "-1s", "1w", "1,5s", "1s!", "\u0663s"])
def test_what_is_not_a_duration_is_refused_by_name(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration") as caught:
        parse_duration_ns(text)
    assert repr(text) in str(caught.value)


def test_finer_than_a_nanosecond_is_refused() -> None:
    with pytest.raises(ValueError, match="finer than a nanosecond"):
        parse_duration_ns("0.5ns")
