"""What a role leaves of a request: the one place where requests are narrowed. Pure.

What a request names and its role does not allow is refused by name; what it leaves open is narrowed to what
the role allows.
"""

import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

import pyarrow as pa
import pyarrow.compute as pc
from google.protobuf.timestamp_pb2 import Timestamp

from argus_grpc.access.principal import Principal
from argus_grpc.access.role import Role
from argus_grpc.columns import ALL_COLUMNS, COLUMNS, EVENT_TYPE_NAMES, Column, choose_columns
from argus_grpc.errors import NotPermitted, shown
from argus_grpc.v1.query_pb2 import EventQuery

FILTERED_COLUMNS: Mapping[str, str] = {
    "start_time": "timestamp",
    "end_time": "timestamp",
    "event_types": "event_type",
    "sources": "source",
    "source_prefixes": "source",
    "thread_ids": "thread_id",
    "carrier_threads": "carrier_thread",
    "thread_name": "thread_name",
    "min_duration_ns": "duration_ns",
    "max_duration_ns": "duration_ns",
    "after_sequence": "sequence",
}
"""The column that each field of EventQuery is a condition on."""

_NS_PER_S = 1_000_000_000


@dataclass(frozen=True)
class GrantedQuery:
    """A query as its caller's role lets it be applied. Made by grant() only.

    query: narrowed.
    asked: as it came.
    at_ns: the moment from which the role's max_age is reckoned.
    """

    query: EventQuery
    asked: EventQuery
    caller: Principal
    role: Role
    at_ns: int

    @property
    def forbidden_columns(self) -> frozenset[str]:
        return self.role.forbidden_columns

    @property
    def redacted_columns(self) -> frozenset[str]:
        return self.role.redacted_columns

    @property
    def digest(self) -> str:
        """Names the query as asked, the caller and what its role lets it read, but not the moment: the same
        for what differs in none of them."""
        role = self.role
        restrictions = (
            role.sources and sorted(role.sources),
            role.event_types and sorted(role.event_types),
            sorted(role.forbidden_columns),
            sorted(role.redacted_columns),
            role.max_age,
        )
        query = self.asked.SerializeToString(deterministic=True)
        bound = repr((query, self.caller.kind, self.caller.name, restrictions))
        return hashlib.sha256(bound.encode()).hexdigest()

    def at(self, now_ns: int) -> "GrantedQuery":
        """The same at another moment."""
        if self.role.max_age is None:
            return self
        return replace(self, query=_narrowed(self.asked, self.role, now_ns), at_ns=now_ns)

    def choose_columns(self, names: Sequence[str]) -> tuple[Column, ...]:
        """The columns named, in that order; none named gives the default ones, "all" every one that the role
        can see. Raises InvalidField, NotPermitted."""
        columns = choose_columns(names)
        if tuple(names) not in ((), (ALL_COLUMNS,)):
            for place, name in enumerate(names):
                if name in self.forbidden_columns:
                    raise _refusal(f"columns[{place}]", name, self.role, _column_names(self.role))
        return tuple(column for column in columns if column.name not in self.forbidden_columns)

    def redacted_among(self, columns: Iterable[Column]) -> list[str]:
        return [column.name for column in columns if column.name in self.redacted_columns]

    def check_reads(self, reads: Iterable[tuple[str, str]]) -> None:
        """Raises NotPermitted for the first field of the request that takes in a column's values which the
        role does not see. reads: the fields, each with its column."""
        hidden = self.forbidden_columns | self.redacted_columns
        for field, column in reads:
            if column in hidden:
                allowed = f"columns whose values it sees: {_column_names(self.role, hidden)}"
                raise _refusal(field, column, self.role, allowed)


def grant(query: EventQuery, caller: Principal, role: Role, now_ns: int) -> GrantedQuery:
    """What a role leaves of a query that check_query passed.

    now_ns: from when max_age is reckoned, in nanoseconds since the Unix epoch.

    Raises NotPermitted, naming the first field that is outside of the role: a source or type that it does
    not read, a time before its max_age, a condition on a column whose values it does not see.
    """
    granted = GrantedQuery(_narrowed(query, role, now_ns), query, caller, role, now_ns)
    granted.check_reads(
        (f"query.{field.name}", FILTERED_COLUMNS[field.name]) for field, _ in query.ListFields()
    )
    if role.max_age is not None and query.HasField("end_time"):
        earliest = _timestamp(now_ns, role.max_age)
        if _is_before(query.end_time, earliest) or query.end_time == earliest:
            allowed = f"a time after {earliest.ToJsonString()}, as far back as it reaches"
            raise _refusal("query.end_time", query.end_time.ToJsonString(), role, allowed)
    return granted


def visible_columns(role: Role) -> tuple[Column, ...]:
    """Every column that the role can see or that is redacted for it, in the order of the schema."""
    return tuple(column for column in COLUMNS if column.name not in role.forbidden_columns)


def check_events(events: pa.RecordBatch, role: Role, path: Callable[[int, str], str]) -> None:
    """Raises NotPermitted for the first event whose source or type the role may not bring.

    events: with the columns source and event_type.
    path: how the request names a column of the event at a place.
    """
    if role.sources is not None:
        allowed = _split(role.sources)
        sources = pc.unique(events["source"]).to_pylist()
        outside = [source for source in sources if not _is_within(source, allowed)]
        _check_none(events, "source", pa.array(outside, pa.string()), role, _source_names(role), path)
    if role.event_types is not None:
        types = pc.unique(events["event_type"]).to_pylist()
        beyond = [type_ for type_ in types if type_ not in role.event_types]
        _check_none(events, "event_type", pa.array(beyond, pa.int32()), role, _type_names(role), path)


def check_source(source: str, role: Role, field: str) -> None:
    """Raises NotPermitted unless the role allows this source."""
    if role.sources is not None and not _is_within(source, _split(role.sources)):
        raise _refusal(field, source, role, _source_names(role))


def _check_none(
    events: pa.RecordBatch,
    name: str,
    outside: pa.Array,
    role: Role,
    allowed: str,
    path: Callable[[int, str], str],
) -> None:
    if len(outside):
        place = pc.index(pc.is_in(events[name], outside), True).as_py()
        value = events[name][place].as_py()
        told = EVENT_TYPE_NAMES[value] if name == "event_type" else value
        raise _refusal(path(place, name), told, role, allowed)


def _narrowed(query: EventQuery, role: Role, now_ns: int) -> EventQuery:
    if role.sources is None and role.event_types is None and role.max_age is None:
        return query
    narrowed = EventQuery()
    narrowed.CopyFrom(query)
    if role.sources is not None:
        names, prefixes = _narrowed_sources(query, role, role.sources)
        narrowed.sources[:] = names
        narrowed.source_prefixes[:] = prefixes
    if role.event_types is not None:
        for place, type_ in enumerate(query.event_types):
            if type_ not in role.event_types:
                field = f"query.event_types[{place}]"
                raise _refusal(field, EVENT_TYPE_NAMES[type_], role, _type_names(role))
        _require_some(role, role.event_types, "event types")
        narrowed.event_types[:] = sorted(set(query.event_types) or role.event_types)
    if role.max_age is not None:
        earliest = _timestamp(now_ns, role.max_age)
        if not query.HasField("start_time") or _is_before(query.start_time, earliest):
            narrowed.start_time.CopyFrom(earliest)
    return narrowed


def _narrowed_sources(
    query: EventQuery, role: Role, sources: Sequence[str]
) -> tuple[Sequence[str], Sequence[str]]:
    """Names and beginnings of the sources that fulfil both the query and the role."""
    _require_some(role, sources, "sources")
    allowed_names, allowed_prefixes = allowed_sources = _split(sources)
    for place, name in enumerate(query.sources):
        if not _is_within(name, allowed_sources):
            raise _refusal(f"query.sources[{place}]", name, role, _source_names(role))
    if not query.sources and not query.source_prefixes:
        return _simplified(allowed_names, allowed_prefixes)
    names, prefixes = [*query.sources], []
    for place, prefix in enumerate(query.source_prefixes):
        within = [name for name in allowed_names if name.startswith(prefix)]
        if prefix.startswith(allowed_prefixes):
            longer = [prefix]
        else:
            longer = [allowed for allowed in allowed_prefixes if allowed.startswith(prefix)]
        if not within and not longer:
            raise _refusal(f"query.source_prefixes[{place}]", prefix, role, _source_names(role))
        names += within
        prefixes += longer
    return _simplified(names, prefixes)


def _simplified(names: Iterable[str], prefixes: Iterable[str]) -> tuple[Sequence[str], Sequence[str]]:
    """The same sources, each told once: an empty list of both would be all."""
    least: list[str] = []
    for prefix in sorted(set(prefixes)):
        # In this order a prefix stands before all that begin with it.
        if not least or not prefix.startswith(least[-1]):
            least.append(prefix)
    return sorted({name for name in names if not name.startswith(tuple(least))}), least


def _split(sources: Iterable[str]) -> tuple[frozenset[str], tuple[str, ...]]:
    """Names, and beginnings."""
    names = frozenset(source for source in sources if not source.endswith("*"))
    return names, tuple(source[:-1] for source in sources if source.endswith("*"))


def _is_within(source: str, allowed: tuple[frozenset[str], tuple[str, ...]]) -> bool:
    names, prefixes = allowed
    return source in names or source.startswith(prefixes)


def _require_some(role: Role, allowed: Collection[object], of_what: str) -> None:
    # An empty list in a query would mean all.
    if not allowed:
        raise NotPermitted(f"the role {role.name} allows no {of_what}")


def _timestamp(now_ns: int, age: timedelta) -> Timestamp:
    seconds, nanos = divmod(now_ns - age // timedelta(microseconds=1) * 1_000, _NS_PER_S)
    return Timestamp(seconds=seconds, nanos=nanos)


def _is_before(time: Timestamp, other: Timestamp) -> bool:
    return (time.seconds, time.nanos) < (other.seconds, other.nanos)


def _source_names(role: Role) -> str:
    return _listed(role.sources or ())


def _type_names(role: Role) -> str:
    return _listed(EVENT_TYPE_NAMES[type_] for type_ in sorted(role.event_types or ()))


def _column_names(role: Role, hidden: frozenset[str] = frozenset()) -> str:
    return ", ".join(column.name for column in visible_columns(role) if column.name not in hidden)


def _listed(names: Iterable[str]) -> str:
    # A status has to fit in what gRPC takes for trailers, 8 KiB.
    return shown_list if len(shown_list := ", ".join(names)) <= 500 else f"{shown_list[:500]}…"


def _refusal(field: str, value: str, role: Role, allowed: str) -> NotPermitted:
    return NotPermitted(f"{shown(value)} is not allowed to the role {role.name}; allowed: {allowed}", field)
