"""EventQuery: checked, and turned into one expression. Pure: no engine is touched here."""

import re
from collections.abc import Iterator, Sized
from functools import reduce
from operator import or_

import ibis
import ibis.expr.types as ir
import pyarrow as pa
import pyarrow.compute as pc
from google.protobuf.timestamp_pb2 import Timestamp

from argus_grpc.access.granted import GrantedQuery
from argus_grpc.access.role import MAX_SOURCE_PREFIXES
from argus_grpc.columns import EVENT_TYPE_NAMES, EVENT_TYPES_ALLOWED, MAX_SOURCE_CHARACTERS, STORED_SCHEMA
from argus_grpc.errors import InvalidField
from argus_grpc.v1.query_pb2 import EventQuery, ThreadNameMatch

MAX_VALUES = 1_000
MAX_PATTERN_CHARS = 1_000

INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1
# google.protobuf.Timestamp's own range: 0001-01-01 to 9999-12-31.
_TIMESTAMP_SECONDS = range(-62_135_596_800, 253_402_300_800)
_NS_PER_S = 1_000_000_000

# No text has code points between these two, which UTF-8 cannot write.
_SURROGATES, _AFTER_SURROGATES = 0xD800, 0xE000
_LAST_CHARACTER = "\U0010ffff"

EVENTS: ir.Table = ibis.table(ibis.Schema.from_pyarrow(STORED_SCHEMA), name="events")

# Possessive, so that "[!]" is not read as the set of "!": as in Python's fnmatch, it is no set.
_GLOB_SET = re.compile(r"(!?+)(\]?+[^\]]*)\]")

# An empty group before an expression, which is no part of a match. Without one DuckDB makes LIKE patterns of
# expressions: version 1.5 takes exponential time for those of many stars, and cannot be interrupted in it,
# and what begins with "(?:)" is then not found.
_AS_IT_IS = "()"

MAX_PATTERN_SIZE = 20_000
"""Of a regular expression: about how many steps RE2 may make of it. Repeats make many of a few characters,
and RE2 takes seconds to compile some hundred thousand."""

# A Unicode class, a text between \Q and \E, an escape, a set, a counted repeat, any other character.
_REGEX_PART = re.compile(
    r"(?P<unicode>\\[pP](?:\{[^}]*\}|.))|(?P<quoted>\\Q.*?(?:\\E|$))|(?P<char>\\x\{[^}]*\}|\\.)"
    r"|(?P<set>\[\^?\]?(?:\\.|\[:\^?\w+:\]|[^\]\\])*\])|\{(?P<least>\d+)(?:,(?P<most>\d*))?\}|(?P<other>.)",
    re.DOTALL,
)
_UNICODE_CLASS_SIZE = 1_200
_CHAR_SIZE = 4

_GLOB_SPECIAL = frozenset("*?[")


def check_query(query: EventQuery) -> None:
    """Raises InvalidField, naming the first field that does not fit."""
    _check_times(query)
    _check_lists(query)
    _check_durations(query)
    if query.after_sequence < 0:
        raise InvalidField("query.after_sequence", query.after_sequence, "0 or more")
    if query.HasField("thread_name"):
        _check_thread_name(query.thread_name)


def matching(granted: GrantedQuery) -> ir.Table:
    """The events that fulfil a query, as its caller may see them: without the columns that are forbidden,
    those that are redacted NULL."""
    conditions = list(_conditions(granted.query))
    events = EVENTS.filter(*conditions) if conditions else EVENTS
    if granted.redacted_columns:
        events = events.mutate(
            **{name: ibis.null(events[name].type()) for name in sorted(granted.redacted_columns)}
        )
    return events.drop(*sorted(granted.forbidden_columns)) if granted.forbidden_columns else events


def glob_to_regex(glob: str) -> str:
    """The RE2 expression of a whole-name glob: * ? [abc] [a-z] [!abc]; an unclosed [ is itself."""
    expression, place = [], 0
    while place < len(glob):
        char = glob[place]
        place += 1
        if char == "*":
            expression.append(".*")
        elif char == "?":
            expression.append(".")
        elif char == "[" and (set_ := _GLOB_SET.match(glob, place)):
            place = set_.end()
            expression.append(_set_to_regex(negated=bool(set_[1]), members=set_[2]))
        else:
            expression.append(re.escape(char))
    return f"(?s)^{''.join(expression)}$"


def _set_to_regex(*, negated: bool, members: str) -> str:
    ranges = []
    for first, last in re.findall(r"(.)(?:-(.))?", members, re.DOTALL):
        # A range that runs backwards has no member, as in Python's fnmatch.
        if not last or first <= last:
            ranges.append(re.escape(first) + (f"-{re.escape(last)}" if last else ""))
    if not ranges:
        return "." if negated else r"[^\x00-\x{10FFFF}]"
    return f"[{'^' if negated else ''}{''.join(ranges)}]"


def _conditions(query: EventQuery) -> Iterator[ir.BooleanValue]:
    if query.HasField("start_time"):
        yield _timestamp_at_least(_to_ns(query.start_time))
    if query.HasField("end_time"):
        yield ~_timestamp_at_least(_to_ns(query.end_time))
    if query.event_types:
        yield EVENTS.event_type.isin(sorted(set(query.event_types)))
    if query.sources or query.source_prefixes:
        yield _source_condition(query)
    if query.thread_ids:
        yield EVENTS.thread_id.isin(sorted(set(query.thread_ids)))
    if query.carrier_threads:
        yield EVENTS.carrier_thread.isin(sorted(set(query.carrier_threads)))
    if query.HasField("thread_name"):
        yield _thread_name_condition(query.thread_name)
    if query.HasField("min_duration_ns"):
        yield EVENTS.duration_ns >= query.min_duration_ns
    if query.HasField("max_duration_ns"):
        yield EVENTS.duration_ns <= query.max_duration_ns
    if query.after_sequence:
        yield EVENTS.sequence > query.after_sequence


def _source_condition(query: EventQuery) -> ir.BooleanValue:
    names, prefixes = sorted(set(query.sources)), sorted(set(query.source_prefixes))
    if len(prefixes) == 1 and not names:
        return _source_begins_with(prefixes[0])
    is_any = [EVENTS.source.startswith(prefix) for prefix in prefixes]
    if names:
        is_any.append(EVENTS.source.isin(names))
    return reduce(or_, is_any)


def _source_begins_with(prefix: str) -> ir.BooleanValue:
    """As a range, which DuckDB holds against the least and the greatest text of what is stored together; one
    of several conditions it would not, and starts_with is faster there.

    Texts are in the order of their UTF-8 bytes, which is that of their code points.
    """
    begun = EVENTS.source >= prefix
    before_last = prefix.rstrip(_LAST_CHARACTER)
    if not before_last:
        return begun
    code = ord(before_last[-1]) + 1
    next_ = before_last[:-1] + chr(_AFTER_SURROGATES if code == _SURROGATES else code)
    return begun & (EVENTS.source < next_)


def _timestamp_at_least(ns: int) -> ir.BooleanValue:
    # A Timestamp reaches years that no int64 of nanoseconds can hold.
    if ns > INT64_MAX:
        return ibis.literal(value=False)
    return EVENTS.timestamp >= max(ns, INT64_MIN)


def _thread_name_condition(match: ThreadNameMatch) -> ir.BooleanValue:
    if match.HasField("contains"):
        return EVENTS.thread_name.contains(match.contains)
    if match.HasField("glob") and not _GLOB_SPECIAL.intersection(part := match.glob.strip("*")):
        return _has_part(EVENTS.thread_name, part, match.glob)
    return EVENTS.thread_name.re_search(_AS_IT_IS + _with_old_named_groups(_regex_of(match)))


def _has_part(name: ir.StringValue, part: str, glob: str) -> ir.BooleanValue:
    """A glob with stars at its ends only: ten times as quick as an expression."""
    match (glob.startswith("*"), glob.endswith("*")):
        case (True, True):
            return name.contains(part)
        case (True, False):
            return name.endswith(part)
        case (False, True):
            return name.startswith(part)
    return name == part


def _regex_of(match: ThreadNameMatch) -> str:
    return glob_to_regex(match.glob) if match.HasField("glob") else match.regex


def _with_old_named_groups(expression: str) -> str:
    """(?<name>…), as Java writes it, as (?P<name>…): DuckDB's RE2, older than Arrow's, knows no other."""
    begins = [part.end() for part in _REGEX_PART.finditer(expression) if part["other"] == "("]
    for begin in reversed(begins):
        if expression.startswith("?<", begin):
            expression = f"{expression[:begin]}?P{expression[begin + 1 :]}"
    return expression


def _to_ns(time: Timestamp) -> int:
    return time.seconds * _NS_PER_S + time.nanos


def _check_times(query: EventQuery) -> None:
    for name, time in (("start_time", query.start_time), ("end_time", query.end_time)):
        if time.seconds not in _TIMESTAMP_SECONDS:
            raise InvalidField(f"query.{name}.seconds", time.seconds, "a time in the years 1 to 9999")
        if not 0 <= time.nanos < _NS_PER_S:
            raise InvalidField(f"query.{name}.nanos", time.nanos, "0 to 999999999")
    both = query.HasField("start_time") and query.HasField("end_time")
    if both and _to_ns(query.end_time) <= _to_ns(query.start_time):
        allowed = f"a time after query.start_time ({query.start_time.ToJsonString()})"
        raise InvalidField("query.end_time", query.end_time.ToJsonString(), allowed)


def _check_lists(query: EventQuery) -> None:
    lists: dict[str, Sized] = {
        "event_types": query.event_types,
        "sources": query.sources,
        "thread_ids": query.thread_ids,
        "carrier_threads": query.carrier_threads,
    }
    for name, values in lists.items():
        if len(values) > MAX_VALUES:
            raise InvalidField(f"query.{name}", f"{len(values)} values", f"at most {MAX_VALUES} values")
    if (count := len(query.source_prefixes)) > MAX_SOURCE_PREFIXES:
        raise InvalidField(
            "query.source_prefixes", f"{count} values", f"at most {MAX_SOURCE_PREFIXES} values"
        )
    for place, code in enumerate(query.event_types):
        if code not in EVENT_TYPE_NAMES:
            raise InvalidField(f"query.event_types[{place}]", code, EVENT_TYPES_ALLOWED)
    for place, source in enumerate(query.sources):
        _check_source(f"query.sources[{place}]", source)
    for place, prefix in enumerate(query.source_prefixes):
        _check_source(f"query.source_prefixes[{place}]", prefix)


def _check_durations(query: EventQuery) -> None:
    if query.HasField("min_duration_ns") and query.min_duration_ns < 0:
        raise InvalidField("query.min_duration_ns", query.min_duration_ns, "0 or more")
    least = query.min_duration_ns if query.HasField("min_duration_ns") else 0
    if query.HasField("max_duration_ns") and query.max_duration_ns < least:
        raise InvalidField("query.max_duration_ns", query.max_duration_ns, f"{least} or more")


def _check_thread_name(match: ThreadNameMatch) -> None:
    kind = match.WhichOneof("match")
    if kind is None:
        raise InvalidField("query.thread_name", None, "one of contains, glob and regex")
    field, text = f"query.thread_name.{kind}", str(getattr(match, kind))
    _check_text(field, text)
    if len(text) > MAX_PATTERN_CHARS:
        raise InvalidField(field, f"{len(text)} characters", f"at most {MAX_PATTERN_CHARS} characters")
    if kind == "regex" and (size := pattern_size(text)) > MAX_PATTERN_SIZE:
        told = f"an expression of at most {MAX_PATTERN_SIZE} steps; this one has about {size}"
        raise InvalidField(field, text, f"{told}: repeat less")
    if kind != "contains":
        try:
            # Arrow's expressions are RE2, as the store's are, and need no database to be tried.
            for begin in ("", _AS_IT_IS):
                pc.match_substring_regex(pa.array([""]), begin + _regex_of(match))
        except pa.ArrowInvalid as error:
            raise InvalidField(field, text, f"an RE2 expression ({error})") from None


def pattern_size(expression: str) -> int:
    """About how many steps RE2 makes of an expression."""
    # Of each group that is open, and of what a repeat would repeat.
    sizes, last = [0], 0
    for part in _REGEX_PART.finditer(expression):
        if part["least"]:
            copies = max(int(part["least"]), int(part["most"] or 0), 1)
            # An optional copy takes a step more.
            copied = last * (copies if part["least"] == part["most"] or part["most"] is None else 2 * copies)
            sizes[-1] += copied - last
            last = copied
            continue
        if part["other"] == "(":
            sizes.append(2)
            continue
        last = _size_of(part)
        if part["other"] == ")" and len(sizes) > 1:
            last = sizes.pop()
        sizes[-1] += last
    return sum(sizes)


def _size_of(part: re.Match[str]) -> int:
    if part["unicode"]:
        return _UNICODE_CLASS_SIZE
    if part["set"]:
        classes = part["set"].count("\\p") + part["set"].count("\\P")
        return classes * _UNICODE_CLASS_SIZE + _CHAR_SIZE * len(part["set"])
    return _CHAR_SIZE * len(part["quoted"]) if part["quoted"] else _CHAR_SIZE


def _check_source(field: str, source: str) -> None:
    if len(source) > MAX_SOURCE_CHARACTERS:
        allowed = f"at most {MAX_SOURCE_CHARACTERS} characters"
        raise InvalidField(field, f"{len(source)} characters", allowed)
    _check_text(field, source)


def _check_text(field: str, text: str) -> None:
    if "\0" in text:
        raise InvalidField(field, text, "text without NUL")
