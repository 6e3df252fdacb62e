"""Roles as an operator writes them, and what they come to, said by plain SQL and plain Python."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from hypothesis import strategies as st

from argus_grpc.columns import COLUMNS_BY_NAME, DEFAULT_COLUMNS, EVENT_TYPE_NAMES
from argus_grpc.v1.aggregate_pb2 import GroupBy, Measure
from argus_grpc.v1.event_pb2 import EventType
from argus_grpc.v1.query_pb2 import EventQuery

RoleTable: TypeAlias = dict[str, Any]

TYPES = EventType.values()[1:6]

NOW_S = int(time.time())
HOUR_S = 3600
HOURS = range(1, 100)
# Between any two of these that differ by a full hour, and by the half hour that a test may take.
EVENT_SECONDS = [NOW_S - hours * HOUR_S + HOUR_S // 2 for hours in HOURS]
QUERY_SECONDS = [NOW_S - hours * HOUR_S for hours in range(100)]

HIDEABLE = [name for name in COLUMNS_BY_NAME if name not in ("sequence", "timestamp")]
ROLE_SOURCES = ["orders@h:1", "o*", "orders*", "it's*", "it's; DROP TABLE events --", "ü", "ü*", "x*", "*"]
FILTERS = {
    "event_types": "event_type",
    "sources": "source",
    "source_prefixes": "source",
    "thread_ids": "thread_id",
    "carrier_threads": "carrier_thread",
    "thread_name": "thread_name",
    "min_duration_ns": "duration_ns",
    "max_duration_ns": "duration_ns",
}


@st.composite
def roles(draw: st.DrawFn) -> RoleTable:
    """A role that may call everything, restricted in any way."""
    few_columns = st.lists(st.sampled_from(HIDEABLE[:8]) | st.sampled_from(HIDEABLE), max_size=5, unique=True)
    forbidden = draw(few_columns)
    table: dict[str, Any] = {
        "rpcs": "all",
        "forbidden_columns": forbidden,
        "redacted_columns": [name for name in draw(few_columns) if name not in forbidden],
    }
    if draw(st.booleans()):
        table["sources"] = draw(st.lists(st.sampled_from(ROLE_SOURCES), min_size=1, max_size=4))
    if draw(st.booleans()):
        codes = draw(st.lists(st.sampled_from(TYPES), min_size=1, max_size=4))
        table["event_types"] = [EVENT_TYPE_NAMES[code].lower() for code in codes]
    if draw(st.booleans()):
        table["max_age"] = draw(st.sampled_from(["6h", "50h", "2d", "52w"]))
    return table


def write_policy(path: Path, tables: Mapping[str, RoleTable]) -> None:
    lines = []
    for name, table in tables.items():
        lines.append(f"[roles.{name}]")
        lines += [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in table.items()]
    path.write_text("\n".join(lines))


def allows_source(role: RoleTable, source: str) -> bool:
    return any(
        source.startswith(allowed[:-1]) if allowed.endswith("*") else source == allowed
        for allowed in role.get("sources", ["*"])
    )


def allows_type(role: RoleTable, code: int) -> bool:
    return "event_types" not in role or EVENT_TYPE_NAMES[code].lower() in role["event_types"]


def _max_age_s(role: RoleTable) -> int:
    text = role["max_age"]
    return int(text[:-1]) * {"h": HOUR_S, "d": 24 * HOUR_S, "w": 7 * 24 * HOUR_S}[text[-1]]


def rows_sql(role: RoleTable) -> str:
    """The events that a role sees, as it sees them, every column that there is of them."""
    conditions = ["true"]
    if "sources" in role:
        quoted = [source.replace("'", "''") for source in role["sources"]]
        parts = [
            f"starts_with(source, '{text[:-1]}')" if text.endswith("*") else f"source = '{text}'"
            for text in quoted
        ]
        conditions.append(f"({' OR '.join(parts)})")
    if "event_types" in role:
        codes = [code for code in TYPES if allows_type(role, code)]
        conditions.append(f"event_type IN ({', '.join(map(str, codes))})")
    if "max_age" in role:
        conditions.append(f"timestamp >= {(NOW_S - _max_age_s(role)) * 10**9}")
    return f"SELECT * FROM events WHERE {' AND '.join(conditions)}"


def shown_columns(role: RoleTable, asked: Sequence[str]) -> list[str]:
    if not asked or list(asked) == ["all"]:
        names = [c.name for c in DEFAULT_COLUMNS] if not asked else list(COLUMNS_BY_NAME)
        return [name for name in names if name not in role["forbidden_columns"]]
    return list(asked)


def refused_fields(
    role: RoleTable,
    query: EventQuery,
    columns: Sequence[str] = (),
    group_by: Sequence[GroupBy] = (),
    measures: Sequence[Measure] = (),
) -> set[str]:
    """All fields of a request that the role does not allow."""
    return {*_refused_in_query(role, query), *_refused_reads(role, columns, group_by, measures)}


def _refused_in_query(role: RoleTable, query: EventQuery) -> Iterator[str]:
    hidden = {*role["forbidden_columns"], *role["redacted_columns"]}
    for field, _ in query.ListFields():
        if FILTERS.get(field.name) in hidden:
            yield f"query.{field.name}"
    for place, source in enumerate(query.sources):
        if not allows_source(role, source):
            yield f"query.sources[{place}]"
    for place, prefix in enumerate(query.source_prefixes):
        allowed = role.get("sources", ["*"])
        if not any(a.startswith(prefix) or (a[-1] == "*" and prefix.startswith(a[:-1])) for a in allowed):
            yield f"query.source_prefixes[{place}]"
    for place, code in enumerate(query.event_types):
        if not allows_type(role, code):
            yield f"query.event_types[{place}]"
    reaches_to_s = NOW_S - _max_age_s(role) if "max_age" in role else None
    if reaches_to_s is not None and query.HasField("end_time") and query.end_time.seconds <= reaches_to_s:
        yield "query.end_time"


def _refused_reads(
    role: RoleTable, columns: Sequence[str], group_by: Sequence[GroupBy], measures: Sequence[Measure]
) -> Iterator[str]:
    hidden = {*role["forbidden_columns"], *role["redacted_columns"]}
    for place, name in enumerate(columns):
        if name in role["forbidden_columns"]:
            yield f"columns[{place}]"
    for place, key in enumerate(group_by):
        if {"stack": "stack_trace"}.get(key.column, key.column) in hidden:
            yield f"group_by[{place}].column"
    for place, measure in enumerate(measures):
        if measure.column in hidden:
            yield f"measures[{place}].column"
