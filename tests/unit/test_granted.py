"""What roles leave of queries, columns and batches, and what they refuse."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import duckdb
import ibis
import pyarrow as pa
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given, settings
from hypothesis import strategies as st

from argus_grpc.access import ANONYMOUS, UNRESTRICTED, Principal, Role
from argus_grpc.access.granted import FILTERED_COLUMNS, GrantedQuery, check_events, check_source, grant
from argus_grpc.columns import COLUMNS_BY_NAME, DEFAULT_COLUMNS
from argus_grpc.errors import InvalidField, NotPermitted
from argus_grpc.query import EVENTS, matching
from argus_grpc.v1.event_pb2 import EventType
from argus_grpc.v1.query_pb2 import EventQuery, ThreadNameMatch
from tests.granting import unrestricted

PINNED, GC_PAUSE = EventType.EVENT_TYPE_VIRTUAL_THREAD_PINNED, EventType.EVENT_TYPE_GC_PAUSE
DAY_NS = 24 * 3600 * 10**9
NOW_NS = 1_700_000_000 * 10**9 + 5
ALICE = Principal("alice", "token", "analyst")


def granted(query: EventQuery, role: Role, now_ns: int = NOW_NS) -> GrantedQuery:
    return grant(query, ALICE, role, now_ns)


def field_of_refusal(query: EventQuery, role: Role) -> str | None:
    with pytest.raises(NotPermitted) as refusal:
        granted(query, role)
    return refusal.value.field


def has_source(query: EventQuery, source: str) -> bool:
    if not query.sources and not query.source_prefixes:
        return True
    return source in query.sources or source.startswith(tuple(query.source_prefixes))


def allows(role: Role, source: str) -> bool:
    assert role.sources is not None
    return any(
        source.startswith(allowed[:-1]) if allowed.endswith("*") else source == allowed
        for allowed in role.sources
    )


texts = st.text("ab\U0010ffff", max_size=4)
patterns = st.builds(lambda text, end: f"{text}{end}" or "a", texts, st.sampled_from(["", "*"]))


@settings(max_examples=300, deadline=None)
@given(
    names=st.lists(texts.filter(bool), max_size=4),
    prefixes=st.lists(texts, max_size=4),
    allowed=st.lists(patterns, min_size=1, max_size=4),
    values=st.lists(texts, min_size=1, max_size=20),
)
def test_a_source_is_in_the_narrowed_query_if_it_is_in_the_query_and_the_role(
    names: list[str], prefixes: list[str], allowed: list[str], values: list[str]
) -> None:
    role = Role("r", sources=tuple(allowed))
    query = EventQuery(sources=names, source_prefixes=prefixes)
    outside = [f"query.sources[{i}]" for i, name in enumerate(names) if not allows(role, name)]
    for place, prefix in enumerate(prefixes):
        overlapping = [
            one
            for one in allowed
            if one.removesuffix("*").startswith(prefix) or (one[-1] == "*" and prefix.startswith(one[:-1]))
        ]
        if not overlapping:
            outside.append(f"query.source_prefixes[{place}]")
    if outside:
        assert field_of_refusal(query, role) == outside[0]
        return
    narrowed = granted(query, role).query
    for value in [*values, *names, *prefixes, *(one.removesuffix("*") for one in allowed)]:
        assert has_source(narrowed, value) == (has_source(query, value) and allows(role, value))
    assert granted(narrowed, role).query == narrowed


def test_every_condition_of_a_query_has_its_column() -> None:
    assert {*FILTERED_COLUMNS} == {field.name for field in EventQuery.DESCRIPTOR.fields}
    assert {*FILTERED_COLUMNS.values()} <= {*COLUMNS_BY_NAME}


@pytest.mark.parametrize("hide", ["forbidden", "redacted"])
@pytest.mark.parametrize(
    ("query", "column"),
    [
        (EventQuery(event_types=[PINNED]), "event_type"),
        (EventQuery(sources=["a"]), "source"),
        (EventQuery(source_prefixes=["a"]), "source"),
        (EventQuery(thread_ids=[1]), "thread_id"),
        (EventQuery(carrier_threads=[1]), "carrier_thread"),
        (EventQuery(thread_name=ThreadNameMatch(glob="*")), "thread_name"),
        (EventQuery(min_duration_ns=0), "duration_ns"),
        (EventQuery(max_duration_ns=0), "duration_ns"),
    ],
)
def test_no_condition_is_over_a_column_whose_values_are_not_seen(
    query: EventQuery, column: str, hide: str
) -> None:
    def hiding(columns: set[str]) -> Role:
        if hide == "forbidden":
            return Role("r", forbidden_columns=frozenset(columns))
        return Role("r", redacted_columns=frozenset(columns))

    ((field, _),) = query.ListFields()
    assert field_of_refusal(query, hiding({column})) == f"query.{field.name}"
    assert granted(query, hiding({*COLUMNS_BY_NAME} - {column, "sequence", "timestamp"})).query == query


def test_types_are_narrowed_or_refused() -> None:
    role = Role("r", event_types=frozenset({GC_PAUSE, PINNED}))
    assert list(granted(EventQuery(), role).query.event_types) == [PINNED, GC_PAUSE]
    assert list(granted(EventQuery(event_types=[PINNED]), role).query.event_types) == [PINNED]
    start = EventType.EVENT_TYPE_VIRTUAL_THREAD_START
    assert field_of_refusal(EventQuery(event_types=[PINNED, start]), role) == "query.event_types[1]"


@pytest.mark.parametrize("role", [Role("r", sources=()), Role("r", event_types=frozenset())])
def test_a_role_that_allows_nothing_is_not_one_that_allows_all(role: Role) -> None:
    assert field_of_refusal(EventQuery(), role) is None


def seconds(ns: int) -> Timestamp:
    return Timestamp(seconds=ns // 10**9, nanos=ns % 10**9)


def test_how_far_back_a_role_sees_moves_with_time() -> None:
    role = Role("r", max_age=timedelta(days=1))
    earliest = seconds(NOW_NS - DAY_NS)
    assert granted(EventQuery(), role).query == EventQuery(start_time=earliest)
    before = EventQuery(start_time=seconds(NOW_NS - DAY_NS - 1))
    assert granted(before, role).query == EventQuery(start_time=earliest)
    after = EventQuery(start_time=seconds(NOW_NS - DAY_NS + 1))
    assert granted(after, role).query == after
    later = granted(before, role).at(NOW_NS + 7)
    assert (later.query, later.at_ns) == (EventQuery(start_time=seconds(NOW_NS + 7 - DAY_NS)), NOW_NS + 7)
    assert later.at(NOW_NS) == granted(before, role)


def test_a_query_that_ends_before_what_a_role_sees_is_refused() -> None:
    role = Role("r", max_age=timedelta(days=1))
    ends = EventQuery(end_time=seconds(NOW_NS - DAY_NS))
    assert field_of_refusal(ends, role) == "query.end_time"
    just_in_reach = EventQuery(end_time=seconds(NOW_NS - DAY_NS + 1))
    assert granted(just_in_reach, role).query.end_time == just_in_reach.end_time


def test_columns_are_those_of_the_role() -> None:
    role = Role("r", forbidden_columns=frozenset({"thread_id"}), redacted_columns=frozenset({"source"}))
    of_role = granted(EventQuery(), role)

    def names(asked: Sequence[str]) -> list[str]:
        return [column.name for column in of_role.choose_columns(asked)]

    assert names(["source", "sequence"]) == ["source", "sequence"]
    assert names([]) == [c.name for c in DEFAULT_COLUMNS if c.name != "thread_id"]
    assert names(["all"]) == [name for name in COLUMNS_BY_NAME if name != "thread_id"]
    with pytest.raises(NotPermitted) as refusal:
        names(["source", "thread_id"])
    assert refusal.value.field == "columns[1]"
    with pytest.raises(InvalidField):
        names(["nope"])
    assert of_role.redacted_among(of_role.choose_columns(["source", "sequence"])) == ["source"]


def test_a_digest_is_of_query_caller_and_restrictions_but_not_of_the_moment() -> None:
    role = Role("r", sources=("a", "b*"), max_age=timedelta(days=1), rpcs=frozenset({"StreamEvents"}))
    query = EventQuery(thread_ids=[1])
    digest = granted(query, role).digest
    same = [
        granted(query, role, NOW_NS + DAY_NS).digest,
        granted(query, replace(role, name="s", rpcs=None, sources=("b*", "a"))).digest,
        grant(query, replace(ALICE, role="s", expires_s=5.0), role, NOW_NS).digest,
    ]
    assert {*same} == {digest}
    others = [
        granted(EventQuery(thread_ids=[2]), role).digest,
        # What is narrowed to the same is not asked in the same way.
        granted(EventQuery(thread_ids=[1], sources=["a"], source_prefixes=["b"]), role).digest,
        grant(query, replace(ALICE, name="bob"), role, NOW_NS).digest,
        grant(query, replace(ALICE, kind="jwt"), role, NOW_NS).digest,
        granted(query, replace(role, sources=("a",))).digest,
        granted(query, replace(role, sources=None)).digest,
        granted(query, replace(role, event_types=frozenset({PINNED}))).digest,
        granted(query, replace(role, forbidden_columns=frozenset({"source"}))).digest,
        granted(query, replace(role, redacted_columns=frozenset({"source"}))).digest,
        granted(query, replace(role, max_age=timedelta(days=2))).digest,
    ]
    assert len({digest, *others}) == 1 + len(others)


def test_events_are_of_the_sources_and_types_of_the_role() -> None:
    events = pa.record_batch(
        {"source": ["a1", "b", "a2"], "event_type": pa.array([PINNED, PINNED, GC_PAUSE], pa.int32())}
    )

    def refused(role: Role) -> str | None:
        try:
            check_events(events, role, lambda place, name: f"{name}[{place}]")
        except NotPermitted as refusal:
            return refusal.field
        return None

    assert refused(UNRESTRICTED) is None
    assert refused(Role("r", sources=("a*", "b"), event_types=frozenset({PINNED, GC_PAUSE}))) is None
    assert refused(Role("r", sources=("a*",))) == "source[1]"
    assert refused(Role("r", sources=("b", "a1"))) == "source[2]"
    assert refused(Role("r", sources=())) == "source[0]"
    assert refused(Role("r", event_types=frozenset({PINNED}))) == "event_type[2]"
    check_source("a3", Role("r", sources=("a*",)), "source")
    with pytest.raises(NotPermitted, match=r"^source: 'c' is not allowed to the role r; allowed: a\*$"):
        check_source("c", Role("r", sources=("a*",)), "source")


def test_a_refusal_of_any_role_fits_an_answer() -> None:
    role = Role("r", sources=tuple(f"{place}-{'x' * 500}" for place in range(1_000)))
    with pytest.raises(NotPermitted) as refusal:
        granted(EventQuery(sources=["y" * 10_000]), role)
    assert len(str(refusal.value)) < 1_000


def sql_of(of_role: GrantedQuery) -> str:
    return " ".join(str(ibis.to_sql(matching(of_role), dialect="duckdb")).split())


def test_without_restrictions_the_sql_is_that_of_the_query_alone() -> None:
    assert sql_of(unrestricted(EventQuery())) == 'SELECT * FROM "events"'
    query = EventQuery(event_types=[PINNED], sources=["a"], min_duration_ns=5)
    expected = EVENTS.filter(
        EVENTS.event_type.isin([PINNED]), EVENTS.source.isin(["a"]), EVENTS.duration_ns >= 5
    )
    assert sql_of(unrestricted(query)) == " ".join(str(ibis.to_sql(expected, dialect="duckdb")).split())


@pytest.mark.duckdb
@settings(max_examples=50, deadline=None)
@given(
    prefixes=st.lists(st.text("a\ud7ff\ue000\uffff\U00010000\U0010ffff", max_size=3), min_size=1, max_size=3),
    values=st.lists(st.text("ab\ud7ff\ue000\uffff\U00010000\U0010ffff", max_size=4), max_size=30),
)
def test_a_beginning_is_found_as_a_range(prefixes: list[str], values: list[str]) -> None:
    sql = sql_of(grant(EventQuery(source_prefixes=prefixes), ANONYMOUS, UNRESTRICTED, 0))
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE events (source VARCHAR)")
        connection.executemany("INSERT INTO events VALUES (?)", [[value] for value in ["", *values]])
        found = [source for (source,) in connection.execute(sql).fetchall()]
    assert sorted(found) == sorted(value for value in ["", *values] if value.startswith(tuple(prefixes)))


@pytest.mark.duckdb
def test_hidden_columns_are_gone_or_null_in_what_matches() -> None:
    role = Role(
        "r",
        forbidden_columns=frozenset({"thread_name", "source"}),
        redacted_columns=frozenset({"event_type", "duration_ns", "class_name"}),
        sources=("a*",),
        event_types=frozenset({PINNED}),
    )
    table = matching(granted(EventQuery(), role))
    assert [*table.columns] == [name for name in COLUMNS_BY_NAME if name not in role.forbidden_columns]
    assert table.schema().items() == {k: v for k, v in EVENTS.schema().items() if k in table.columns}.items()
    with duckdb.connect() as connection:
        types = {
            name: "VARCHAR" if type_.is_string() else "BIGINT" for name, type_ in EVENTS.schema().items()
        }
        columns = ", ".join(f"{name} {type_}" for name, type_ in types.items())
        connection.execute(f"CREATE TABLE events ({columns})")
        events = [(1, PINNED, "ab"), (2, PINNED, "b"), (3, GC_PAUSE, "ab")]
        connection.executemany(
            "INSERT INTO events (sequence, event_type, source, thread_name, duration_ns, class_name)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            [(*event, "n", 7, "C") for event in events],
        )
        found = sql_of(granted(EventQuery(), role))
        sql = f"SELECT sequence, event_type, duration_ns, class_name FROM ({found})"
        assert connection.execute(sql).fetchall() == [(1, None, None, None)]
