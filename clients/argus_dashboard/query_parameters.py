"""The parameters that say which events and columns, as the command line takes them."""

import time

from argus_client import EventQuery
from argus_client.query import EVENT_TYPE_CODES, checked_by, parse_event_type, parse_source_prefix
from argus_client.times import INT64_MAX, INT64_MIN, parse_duration_ns, parse_instant_ns
from argus_dashboard.parameters import Parameter, Values, shown, whole_number

_TYPE_NAMES = ", ".join(name.removeprefix("VIRTUAL_THREAD_") for name in EVENT_TYPE_CODES)
# Any letter case, which JSON Schema can only spell out.
_TYPE_PATTERN = "({})".format(
    "|".join(
        "".join(f"[{letter}{letter.lower()}]" if letter.isalpha() else letter for letter in name)
        for name in sorted({*EVENT_TYPE_CODES, *_TYPE_NAMES.split(", ")})
    )
)


def _parse_name(text: str) -> str:
    if not text:
        raise ValueError("'' is not allowed; allowed: a name")
    return text


def _parse_instant(text: str) -> int:
    return _parse_bounded(parse_instant_ns(text), text)


def _parse_duration(text: str) -> int:
    return _parse_bounded(parse_duration_ns(text), text)


def _parse_bounded(ns: int, text: str) -> int:
    if not INT64_MIN <= ns <= INT64_MAX:
        raise ValueError(f"{shown(text)} is not allowed; allowed: what 64 bits of nanoseconds can hold")
    return ns


_INSTANT_SCHEMA = {
    "type": "string",
    "pattern": r"^[0-9]{4}-[0-9]{2}-[0-9]{2}"
    r"([Tt ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,9})?)?([Zz]|[+-][0-9]{2}:[0-9]{2})?)?$",
    "examples": ["2024-01-31", "2024-01-31T08:30:00.5Z"],
}
_DURATION_SCHEMA = {
    "type": "string",
    "pattern": "^([0-9]+(\\.[0-9]+)?(ns|us|µs|ms|s|m|h|d))+$",
    "examples": ["10ms", "1h30m"],
}

_TYPE_SCHEMA = {
    "type": "string",
    "pattern": f"^ *{_TYPE_PATTERN} *(, *{_TYPE_PATTERN} *)*$",
    "examples": ["PINNED", "gc_pause,CPU_LOAD"],
}
_TEXT_SCHEMA = {"type": "string", "pattern": "^[^\\x00]*$"}
_SOURCE_SCHEMA = {"type": "string", "pattern": "^[^\\x00*]*\\*?$", "examples": ["orders@h1:7071", "prod-*"]}
_PATTERN_SCHEMA = _TEXT_SCHEMA | {"maxLength": 1_000}
_NAME_SCHEMA = {"type": "string", "minLength": 1}

QUERY_PARAMETERS = (
    Parameter(
        "from",
        _parse_instant,
        "From this time on: 2024-01-31, or 2024-01-31T08:30:00.5Z, or with +01:00 for Z. No zone means UTC.",
        _INSTANT_SCHEMA,
        field="query.start_time",
    ),
    Parameter("to", _parse_instant, "Up to, not with, this time.", _INSTANT_SCHEMA, field="query.end_time"),
    Parameter(
        "last",
        _parse_duration,
        "From so long ago on, by the dashboard's clock: 90s, 15m, 1h30m, 7d. Not with from.",
        _DURATION_SCHEMA,
        field="query.start_time",
    ),
    Parameter(
        "type",
        checked_by(parse_event_type),
        f"Of any of these types; it repeats, or takes a comma list. Any letter case: {_TYPE_NAMES}.",
        _TYPE_SCHEMA,
        repeats=True,
        has_commas=True,
        field="query.event_types",
    ),
    Parameter(
        "source",
        checked_by(parse_source_prefix),
        "From this JVM; with * at its end, from all whose names begin so; it repeats.",
        _SOURCE_SCHEMA,
        repeats=True,
        field="query.sources",
        prefix_field="query.source_prefixes",
    ),
    Parameter(
        "thread_name",
        str,
        "The whole thread name fits: * any characters, ? any one, [a-z] a set, [!a-z] none of it. "
        "One of thread_name, thread_name_contains and thread_name_regex.",
        _PATTERN_SCHEMA,
        field="query.thread_name.glob",
    ),
    Parameter(
        "thread_name_contains",
        str,
        "The thread name has this text in it.",
        _PATTERN_SCHEMA,
        field="query.thread_name.contains",
    ),
    Parameter(
        "thread_name_regex",
        str,
        "The thread name has a match of this RE2 expression.",
        _PATTERN_SCHEMA,
        field="query.thread_name.regex",
    ),
    Parameter(
        "thread_id",
        **whole_number(INT64_MIN, INT64_MAX),
        description="Of this thread; it repeats, or takes a comma list.",
        repeats=True,
        has_commas=True,
        field="query.thread_ids",
    ),
    Parameter(
        "carrier_thread",
        **whole_number(INT64_MIN, INT64_MAX),
        description="Of a virtual thread on this carrier; it repeats, or takes a comma list.",
        repeats=True,
        has_commas=True,
        field="query.carrier_threads",
    ),
    Parameter(
        "min_duration",
        _parse_duration,
        "That took this long at least: 250us, 10ms, 1.5s.",
        _DURATION_SCHEMA,
        field="query.min_duration_ns",
    ),
    Parameter(
        "max_duration",
        _parse_duration,
        "That took this long at most.",
        _DURATION_SCHEMA,
        field="query.max_duration_ns",
    ),
    Parameter(
        "after_sequence",
        **whole_number(0, INT64_MAX),
        description="That came in after the one with this sequence number: what is new since the export "
        "whose watermark it was.",
        field="query.after_sequence",
    ),
)

COLUMNS_PARAMETER = Parameter(
    "columns",
    _parse_name,
    "Which columns, in this order; it repeats, or takes a comma list. all alone: every one; without it: "
    "timestamp, event_type, thread_id, thread_name, carrier_thread, duration_ns.",
    _NAME_SCHEMA,
    repeats=True,
    has_commas=True,
    field="columns",
)


def event_query(values: Values) -> EventQuery:
    """The query that the values stand for. Raises a Problem for those that exclude each other."""
    values.refuse_together("from", "last")
    values.refuse_together("thread_name", "thread_name_contains", "thread_name_regex")
    return EventQuery(
        start=values["from"] if values["last"] is None else time.time_ns() - values["last"],
        end=values["to"],
        types=values["type"],
        sources=values["source"],
        thread_ids=values["thread_id"],
        carrier_threads=values["carrier_thread"],
        thread_name_glob=values["thread_name"],
        thread_name_contains=values["thread_name_contains"],
        thread_name_regex=values["thread_name_regex"],
        min_duration=values["min_duration"],
        max_duration=values["max_duration"],
        after_sequence=values["after_sequence"] or 0,
    )
