"""EventQuery as a Python user writes it, to the contract's message."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import MappingProxyType

from google.protobuf.timestamp_pb2 import Timestamp

from argus_client.errors import InvalidRequest, Violation
from argus_client.times import INT64_MAX, INT64_MIN, parse_duration_ns, parse_instant_ns
from argus_grpc.v1.event_pb2 import EventType
from argus_grpc.v1.query_pb2 import EventQuery as EventQueryMessage
from argus_grpc.v1.query_pb2 import ThreadNameMatch

Instant = datetime | str | int
"""An aware datetime, text such as 2024-01-31 or 2024-01-31T08:30:00.5Z, or ns since the epoch."""

Duration = timedelta | str | int
"""A timedelta, text such as 10ms, or nanoseconds."""

_NS_PER_S = 1_000_000_000
_PREFIX = "EVENT_TYPE_"
_SHORT_PREFIX = "VIRTUAL_THREAD_"

EVENT_TYPE_CODES: Mapping[str, "EventType.ValueType"] = MappingProxyType(
    {v.name.removeprefix(_PREFIX): EventType.Value(v.name) for v in EventType.DESCRIPTOR.values if v.number}
)
"""The code of each event type, by the name that files show."""

ARGUMENTS: Mapping[str, str] = MappingProxyType(
    {
        "query.start_time": "start",
        "query.end_time": "end",
        "query.event_types": "types",
        "query.sources": "sources",
        "query.source_prefixes": "sources",
        "query.thread_ids": "thread_ids",
        "query.carrier_threads": "carrier_threads",
        "query.thread_name.contains": "thread_name_contains",
        "query.thread_name.glob": "thread_name_glob",
        "query.thread_name.regex": "thread_name_regex",
        "query.thread_name": "thread_name",
        "query.min_duration_ns": "min_duration",
        "query.max_duration_ns": "max_duration",
        "query.after_sequence": "after_sequence",
    }
)
"""What a Python caller wrote, by the path of the request's field."""

_FIELD = re.compile(
    r"(?P<path>[a-z_.]+?)(?:\[\d+\])?(?:\.(?:seconds|nanos|column|function|time_bucket_ns))?$"
)
# In a sentence only what cannot be an ordinary word is taken for a field.
_QUERY_FIELD = re.compile(r"\b(?P<path>query\.thread_name\.[a-z]+|query\.[a-z_]+)(?:\[\d+\])?")


@dataclass(frozen=True, kw_only=True)
class EventQuery:
    """Which events: every condition that is given must hold; none given means all events.

    start, end: the earliest timestamp, and the one that all must be before: [start, end).
    types: any of these event types: GC_PAUSE, PINNED or VIRTUAL_THREAD_PINNED, in any letter case.
    sources: any of these; one with * at its end stands for all that begin so: prod-*.
    thread_ids, carrier_threads: any of these, exactly.
    thread_name_glob, thread_name_contains, thread_name_regex: how the thread's name looks; one
        of them at most. A glob (* ? [a-z] [!a]) fits the whole name, an RE2 expression any part.
    min_duration, max_duration: both inclusive; an int is nanoseconds.
    after_sequence: only events that came later than the one with this sequence: pass the last
        export's watermark to get just what is new. When some of that has been removed, an export raises
        EventsMissed.

    Raises InvalidRequest when a value cannot be read. The server checks the rest.
    """

    start: Instant | None = None
    end: Instant | None = None
    types: Iterable[str] = ()
    sources: Iterable[str] = ()
    thread_ids: Iterable[int] = ()
    carrier_threads: Iterable[int] = ()
    thread_name_glob: str | None = None
    thread_name_contains: str | None = None
    thread_name_regex: str | None = None
    min_duration: Duration | None = None
    max_duration: Duration | None = None
    after_sequence: int = 0

    def __post_init__(self) -> None:
        for name in ("types", "sources", "thread_ids", "carrier_threads"):
            several = getattr(self, name)
            # A lone value is taken as the only one: a string would else be taken as its letters.
            several = (several,) if isinstance(several, str | int) else tuple(several)
            object.__setattr__(self, name, several)
        self.to_message()

    def to_message(self) -> EventQueryMessage:
        """The contract's message. Raises InvalidRequest."""
        message = EventQueryMessage()
        with _naming("query.start_time"):
            if self.start is not None:
                message.start_time.CopyFrom(_to_timestamp(self.start))
        with _naming("query.end_time"):
            if self.end is not None:
                message.end_time.CopyFrom(_to_timestamp(self.end))
        with _naming("query.event_types"):
            message.event_types.extend(parse_event_type(name) for name in self.types)
        with _naming("query.sources"):
            for source in self.sources:
                prefix = parse_source_prefix(source)
                if prefix is None:
                    message.sources.append(source)
                else:
                    message.source_prefixes.append(prefix)
        for field in ("thread_ids", "carrier_threads"):
            with _naming(f"query.{field}"):
                getattr(message, field).extend(getattr(self, field))
        with _naming("query.thread_name"):
            if (match := self._thread_name_match()) is not None:
                message.thread_name.CopyFrom(match)
        with _naming("query.min_duration_ns"):
            if self.min_duration is not None:
                message.min_duration_ns = _to_duration_ns(self.min_duration)
        with _naming("query.max_duration_ns"):
            if self.max_duration is not None:
                message.max_duration_ns = _to_duration_ns(self.max_duration)
        with _naming("query.after_sequence"):
            message.after_sequence = self.after_sequence
        return message

    def _thread_name_match(self) -> ThreadNameMatch | None:
        given = {
            kind: text
            for kind in ("contains", "glob", "regex")
            if (text := getattr(self, f"thread_name_{kind}")) is not None
        }
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} cannot be given together; give one of them")
        return ThreadNameMatch(**given) if given else None


@contextmanager
def _naming(field: str) -> Iterator[None]:
    """Turns a value that cannot be read into InvalidRequest, naming the request's field."""
    try:
        yield
    except (TypeError, ValueError) as error:
        raise invalid_request((Violation(field, str(error)),)) from error


def invalid_request(violations: tuple[Violation, ...]) -> InvalidRequest:
    """InvalidRequest that says what does not fit in the words of a Python caller."""
    return InvalidRequest("; ".join(tell_violations(violations, ARGUMENTS)), violations)


def tell_violations(violations: Iterable[Violation], names: Mapping[str, str]) -> list[str]:
    """A line a violation, with the request's fields under the names that the caller knows."""

    def rename(match: re.Match[str]) -> str:
        return names.get(match["path"], match[0])

    return [
        f"{_FIELD.sub(rename, violation.field)}: {_QUERY_FIELD.sub(rename, violation.description)}"
        for violation in violations
    ]


def checked_by(parse: Callable[[str], object]) -> Callable[[str], str]:
    """What gives a text back as it is if `parse` takes it, and else raises what that raises."""

    def check(text: str) -> str:
        parse(text)
        return text

    return check


def parse_event_type(name: str) -> "EventType.ValueType":
    """The code of an event type's long or short name, in any letter case. Raises ValueError."""
    upper = name.strip().upper().removeprefix(_PREFIX)
    for candidate in (upper, _SHORT_PREFIX + upper):
        if candidate in EVENT_TYPE_CODES:
            return EVENT_TYPE_CODES[candidate]
    allowed = ", ".join(known.removeprefix(_SHORT_PREFIX) for known in EVENT_TYPE_CODES)
    raise ValueError(f"{name!r} is not an event type; allowed: {allowed}")


def parse_source_prefix(source: str) -> str | None:
    """What sources begin with that one with * at its end stands for; None: it is the name of one.

    Raises ValueError for a * elsewhere, TypeError for what is not text.
    """
    if not isinstance(source, str):
        raise TypeError(f"{source!r} is not a source; allowed: text")
    beginning = source.removesuffix("*")
    if "*" in beginning:
        raise ValueError(
            f"{source!r} has a * before its end; allowed: a name, or what names begin with and a * at the end"
        )
    return None if beginning == source else beginning


def _to_timestamp(instant: Instant) -> Timestamp:
    seconds, nanos = divmod(_to_instant_ns(instant), _NS_PER_S)
    return Timestamp(seconds=seconds, nanos=nanos)


def _to_instant_ns(instant: Instant) -> int:
    if isinstance(instant, str):
        return parse_instant_ns(instant)
    if isinstance(instant, datetime):
        if instant.utcoffset() is None:
            raise ValueError(f"{instant!r} has no time zone; give it one, such as tzinfo=datetime.UTC")
        # Whole microseconds: float seconds would lose some of them.
        return (instant - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 1_000
    return _to_int64(instant, "a time", "an aware datetime, text, or int nanoseconds since the epoch")


def _to_duration_ns(duration: Duration) -> int:
    if isinstance(duration, str):
        duration = parse_duration_ns(duration)
    elif isinstance(duration, timedelta):
        duration = duration // timedelta(microseconds=1) * 1_000
    return _to_int64(duration, "a duration", "a timedelta, text such as 10ms, or int nanoseconds")


def _to_int64(value: object, what: str, allowed: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{value!r} is not {what}; allowed: {allowed}")
    if not INT64_MIN <= value <= INT64_MAX:
        raise ValueError(f"{value} is beyond what 64 bits of nanoseconds can hold")
    return value
