"""EventQuery: what a Python user may write, and what is refused."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from hypothesis import given
from hypothesis import strategies as st

from argus_client import EventQuery, ExportClient, InvalidRequest
from argus_client.query import EVENT_TYPE_CODES, parse_event_type
from argus_grpc.v1.event_pb2 import EventType
from argus_grpc.v1.query_pb2 import EventQuery as EventQueryMessage


def test_a_query_of_nothing_asks_for_all() -> None:
    assert EventQuery().to_message() == EventQueryMessage()


def test_every_condition_has_its_field() -> None:
    query = EventQuery(
        start="2024-01-01",
        end="2024-01-02T03:04:05.000000006+01:00",
        types=["pinned", "GC_PAUSE"],
        sources=["a", "b c"],
        thread_ids=[1, 2],
        carrier_threads=range(3, 5),
        thread_name_glob="VT-*",
        min_duration="10ms",
        max_duration=timedelta(seconds=1.5),
        after_sequence=7,
    )
    assert MessageToDict(query.to_message()) == {
        "startTime": "2024-01-01T00:00:00Z",
        "endTime": "2024-01-02T02:04:05.000000006Z",
        "eventTypes": ["EVENT_TYPE_VIRTUAL_THREAD_PINNED", "EVENT_TYPE_GC_PAUSE"],
        "sources": ["a", "b c"],
        "threadIds": ["1", "2"],
        "carrierThreads": ["3", "4"],
        "threadName": {"glob": "VT-*"},
        "minDurationNs": "10000000",
        "maxDurationNs": "1500000000",
        "afterSequence": "7",
    }


@given(st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=-5, minutes=-30))])))
def test_an_aware_datetime_keeps_every_microsecond(moment: datetime) -> None:
    start = EventQuery(start=moment).to_message().start_time
    # An oracle that is not ours; it takes a naive UTC datetime.
    assert start.ToDatetime(tzinfo=UTC) == moment


def test_an_int_is_nanoseconds() -> None:
    message = EventQuery(start=-1, min_duration=5).to_message()
    assert (message.start_time.seconds, message.start_time.nanos) == (-1, 999_999_999)
    assert message.min_duration_ns == 5


def test_zero_durations_are_conditions_and_absent_ones_are_not() -> None:
    assert EventQuery(min_duration=0).to_message().HasField("min_duration_ns")
    assert not EventQuery().to_message().HasField("min_duration_ns")


def test_generators_are_read_once_and_kept() -> None:
    query = EventQuery(types=(name for name in ["END"]), thread_ids=iter([3]))
    assert query.to_message() == query.to_message()
    assert list(query.to_message().thread_ids) == [3]


def test_a_lone_value_is_not_taken_apart() -> None:
    message = EventQuery(types="pinned", sources="orders", thread_ids=7).to_message()  # type: ignore[arg-type]
    assert (list(message.event_types), list(message.sources), list(message.thread_ids)) == (
        [3],
        ["orders"],
        [7],
    )


def test_a_source_with_a_star_at_its_end_is_a_beginning() -> None:
    message = EventQuery(sources=["prod-*", "a", "*", "ä b*"]).to_message()
    assert (list(message.sources), list(message.source_prefixes)) == (["a"], ["prod-", "", "ä b"])


def test_queries_can_be_compared_and_hashed() -> None:
    assert len({EventQuery(types=["END"]), EventQuery(types=("END",)), EventQuery()}) == 2


@pytest.mark.parametrize(
    ("arguments", "field", "message"),
    [
        ({"start": "yesterday"}, "query.start_time", "start: 'yesterday' is not a time"),
        ({"end": datetime(2024, 1, 1)}, "query.end_time", "end: .* has no time zone"),
        ({"start": 1.5}, "query.start_time", "start: 1.5 is not a time"),
        ({"start": 2**63}, "query.start_time", "start: .* 64 bits"),
        (
            {"types": ["END", "nope"]},
            "query.event_types",
            "types: 'nope' is not an event type; allowed: START",
        ),
        ({"types": [""]}, "query.event_types", "types: '' is not an event type"),
        (
            {"min_duration": "10 parsecs"},
            "query.min_duration_ns",
            "min_duration: '10 parsecs' is not a duration",
        ),
        ({"max_duration": "9999999d"}, "query.max_duration_ns", "max_duration: .* 64 bits"),
        ({"max_duration": True}, "query.max_duration_ns", "max_duration: True is not a duration"),
        ({"thread_ids": [2**63]}, "query.thread_ids", "thread_ids: "),
        ({"thread_ids": ["x"]}, "query.thread_ids", "thread_ids: "),
        ({"after_sequence": 2**63}, "query.after_sequence", "after_sequence: "),
        ({"sources": ["\ud800"]}, "query.sources", "sources: "),
        ({"sources": ["a", "*-prod"]}, "query.sources", r"sources: '\*-prod' has a \* before its end"),
        ({"sources": ["a**"]}, "query.sources", "sources: .* before its end"),
        ({"sources": [5]}, "query.sources", "sources: 5 is not a source"),
        (
            {"thread_name_glob": "a", "thread_name_regex": "b"},
            "query.thread_name",
            "thread_name: glob and regex cannot be given together",
        ),
    ],
)
def test_what_cannot_be_read_is_refused_by_name(arguments: dict[str, Any], field: str, message: str) -> None:
    with pytest.raises(InvalidRequest, match=message) as caught:
        EventQuery(**arguments)
    assert [violation.field for violation in caught.value.violations] == [field]


def test_event_types_have_long_and_short_names_in_any_letter_case() -> None:
    for value in EventType.DESCRIPTOR.values:
        if value.number:
            long = value.name.removeprefix("EVENT_TYPE_")
            for name in (value.name, long, long.removeprefix("VIRTUAL_THREAD_"), long.lower(), f" {long} "):
                assert parse_event_type(name) == value.number
    assert len(EVENT_TYPE_CODES) == 11
    with pytest.raises(ValueError, match="not an event type"):
        parse_event_type("UNSPECIFIED")


@pytest.mark.parametrize("arguments", [{"limit": 0}, {"limit": -1}, {"order": "random"}])
def test_an_export_refuses_what_it_cannot_ask_for(arguments: dict[str, Any]) -> None:
    with ExportClient("127.0.0.1:1") as client, pytest.raises(InvalidRequest, match=next(iter(arguments))):
        client.export(**arguments)
