"""Queries: what is refused and how, and globs as Python's own fnmatch reads them."""

import fnmatch
from typing import cast

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import example, given
from hypothesis import strategies as st

from argus_grpc.errors import InvalidField
from argus_grpc.query import MAX_PATTERN_CHARS, MAX_VALUES, check_query, glob_to_regex
from argus_grpc.v1.event_pb2 import EventType
from argus_grpc.v1.query_pb2 import EventQuery, ThreadNameMatch

START = EventType.EVENT_TYPE_VIRTUAL_THREAD_START
UNKNOWN = cast("EventType.ValueType", 99)


@given(
    glob=st.text("ab*?[]!-^\\.]{}$\n", max_size=12),
    name=st.text("ab-[]!^\\.{}$\n", max_size=8),
)
@example(glob="[!]a]", name="b")
@example(glob="[b-a]", name="a")
@example(glob="[!b-a]", name="\n")
@example(glob="[]", name="[]")
@example(glob="[^a]", name="^")
@example(glob="a[", name="a[")
def test_globs_match_as_fnmatch_does(glob: str, name: str) -> None:
    matched = pc.match_substring_regex(pa.array([name]), glob_to_regex(glob))[0].as_py()
    assert matched == fnmatch.fnmatchcase(name, glob)


@pytest.mark.parametrize(
    ("query", "field", "said"),
    [
        (EventQuery(event_types=[START, UNKNOWN]), "query.event_types[1]", "PINNED (3)"),
        (
            EventQuery(event_types=[EventType.EVENT_TYPE_UNSPECIFIED]),
            "query.event_types[0]",
            "CONTENTION (41)",
        ),
        (EventQuery(event_types=[START] * (MAX_VALUES + 1)), "query.event_types", "at most 1000 values"),
        (EventQuery(sources=["a", "b\0"]), "query.sources[1]", "without NUL"),
        (EventQuery(source_prefixes=["a", "b\0"]), "query.source_prefixes[1]", "without NUL"),
        (EventQuery(sources=["a", "b" * 1_001]), "query.sources[1]", "at most 1000 characters"),
        (EventQuery(source_prefixes=["b" * 1_001]), "query.source_prefixes[0]", "at most 1000 characters"),
        (EventQuery(source_prefixes=["a"] * 101), "query.source_prefixes", "at most 100 values"),
        (EventQuery(start_time=Timestamp(nanos=-1)), "query.start_time.nanos", "0 to 999999999"),
        (EventQuery(end_time=Timestamp(seconds=2**40)), "query.end_time.seconds", "years 1 to 9999"),
        (
            EventQuery(start_time=Timestamp(seconds=5), end_time=Timestamp(seconds=4)),
            "query.end_time",
            "after query.start_time (1970-01-01T00:00:05Z)",
        ),
        (EventQuery(min_duration_ns=-1), "query.min_duration_ns", "0 or more"),
        (EventQuery(min_duration_ns=5, max_duration_ns=4), "query.max_duration_ns", "5 or more"),
        (EventQuery(after_sequence=-1), "query.after_sequence", "0 or more"),
        (EventQuery(thread_name=ThreadNameMatch()), "query.thread_name", "one of contains, glob and regex"),
        (EventQuery(thread_name=ThreadNameMatch(regex="a(")), "query.thread_name.regex", "RE2"),
        (EventQuery(thread_name=ThreadNameMatch(regex=r"(a)\1")), "query.thread_name.regex", "RE2"),
        (EventQuery(thread_name=ThreadNameMatch(contains="\0")), "query.thread_name.contains", "NUL"),
        (
            EventQuery(thread_name=ThreadNameMatch(glob="a" * (MAX_PATTERN_CHARS + 1))),
            "query.thread_name.glob",
            "at most 1000 characters",
        ),
    ],
)
def test_what_does_not_fit_is_named_with_what_is_allowed(query: EventQuery, field: str, said: str) -> None:
    with pytest.raises(InvalidField) as refusal:
        check_query(query)
    assert refusal.value.field == field
    assert said in refusal.value.description
    assert str(refusal.value).startswith(f"{field}: ")


@pytest.mark.parametrize(
    "regex", ["x{0,1000}" * 100, r"\pL" * 300, "(a{100}){10}" * 80, "((a{9}){9,}){9}" * 60, "(a{1000}){1000}"]
)
def test_expressions_of_many_steps_are_refused(regex: str) -> None:
    # The first takes RE2 twenty seconds to compile.
    with pytest.raises(
        InvalidField, match=r"query\.thread_name\.regex: .*allowed: an expression of at most 20000 steps"
    ):
        check_query(EventQuery(thread_name=ThreadNameMatch(regex=regex)))


@pytest.mark.parametrize("regex", ["a{1001}", "(", "(?<=a)b", r"\1"])
def test_what_is_no_expression_is_refused(regex: str) -> None:
    with pytest.raises(InvalidField, match="an RE2 expression"):
        check_query(EventQuery(thread_name=ThreadNameMatch(regex=regex)))


@pytest.mark.parametrize(
    "regex", ["a{1000}", r"\pL+\d{1,20}", "a" * 1000, "(" * 300 + ")" * 300, "(a|b)*" * 160, r"\Qa{9}"]
)
def test_long_expressions_are_taken(regex: str) -> None:
    check_query(EventQuery(thread_name=ThreadNameMatch(regex=regex)))
