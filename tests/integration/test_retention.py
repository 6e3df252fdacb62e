"""Retention: what is removed, when, and that its space comes back; a restart or a kill between."""

import tempfile
from contextlib import ExitStack
from pathlib import Path

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from argus_grpc.errors import LimitReached
from tests.retaining import (
    MIB,
    Clock,
    batch,
    files_bytes,
    look,
    random_batch,
    rows_of,
    sequences_of,
    store_of,
)

pytestmark = pytest.mark.duckdb

HOUR_S = 3600.0


def test_age_counts_from_when_an_event_came_in(tmp_path: Path) -> None:
    clock = Clock()
    with store_of(tmp_path / "events.duckdb", clock, max_age_s=HOUR_S) as store:
        # Years old by its own timestamp, and here for no time.
        store.append(batch(10, first_timestamp_ns=0))
        look(store)
        clock.now_s += HOUR_S - 1
        store.append(batch(5))
        look(store)
        assert (store.removed_through, sequences_of(store)) == (0, list(range(1, 16)))
        clock.now_s += 1 + HOUR_S / 100
        look(store)
        assert (store.removed_through, sequences_of(store)) == (10, list(range(11, 16)))
        clock.now_s += HOUR_S
        look(store)
        assert (store.removed_through, sequences_of(store)) == (15, [])
        assert store.append(batch(3)).sequences == range(16, 19)


def test_a_clock_that_goes_back_removes_nothing_too_early(tmp_path: Path) -> None:
    clock = Clock()
    with store_of(tmp_path / "events.duckdb", clock, max_age_s=HOUR_S) as store:
        store.append(batch(10))
        look(store)
        clock.now_s -= 10 * HOUR_S
        store.append(batch(10))
        look(store)
        clock.now_s += 10 * HOUR_S + HOUR_S / 2
        look(store)
        assert store.removed_through == 0
        clock.now_s += HOUR_S
        look(store)
        assert store.removed_through == 20


def test_sequences_go_on_after_a_restart_though_all_events_are_gone(tmp_path: Path) -> None:
    clock = Clock()
    with store_of(tmp_path / "events.duckdb", clock, max_age_s=HOUR_S) as store:
        store.append(batch(10))
        look(store)
        clock.now_s += 2 * HOUR_S
        look(store)
    with store_of(tmp_path / "events.duckdb", clock) as store:
        assert (store.watermark, store.removed_through, sequences_of(store)) == (10, 10, [])
        assert store.append(batch(1)).sequences == range(11, 12)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(1, 3_000)),
        st.tuples(st.just("wait"), st.sampled_from([1, 36, 600, 1800, 3600])),
        st.tuples(st.just("look"), st.just(0)),
        st.tuples(st.just("restart"), st.just(0)),
    ),
    max_size=25,
)


@given(steps=STEPS)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_what_is_kept_is_what_a_plain_model_says(steps: list[tuple[str, int]]) -> None:
    """The model: when each event came, and the looks, a hundredth of the hour apart, that noted some."""
    clock, came_s, noted = Clock(), [0.0], [(0, 0.0)]
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        path = Path(folder) / "events.duckdb"
        store = stack.enter_context(store_of(path, clock, max_age_s=HOUR_S))
        through = 0
        for step, number in steps:
            if step == "append":
                first = len(came_s)
                assert store.append(batch(number)).sequences == range(first, first + number)
                came_s += [clock.now_s] * number
            elif step == "wait":
                clock.now_s += number
            elif step == "look":
                look(store)
                last, noted_s = noted[-1]
                if last < len(came_s) - 1 and clock.now_s - noted_s >= HOUR_S / 100:
                    noted.append((len(came_s) - 1, clock.now_s))
                through = max(last for last, noted_s in noted if noted_s <= clock.now_s - HOUR_S)
            else:
                stack.close()
                store = stack.enter_context(store_of(path, clock, max_age_s=HOUR_S))
            assert store.removed_through == through
            assert sequences_of(store) == list(range(through + 1, len(came_s)))
            assert store.watermark == len(came_s) - 1
            assert all(came <= clock.now_s - HOUR_S for came in came_s[1 : through + 1])


def test_files_of_an_earlier_version_gain_what_retention_needs(tmp_path: Path) -> None:
    path, clock = tmp_path / "events.duckdb", Clock()
    with store_of(path) as store:
        store.append(batch(100))
    with duckdb.connect(path) as database:
        database.execute("DROP TABLE argus_removed")
        database.execute("DROP TABLE argus_arrivals")
    with store_of(path, clock, max_age_s=HOUR_S) as store:
        assert (store.watermark, store.removed_through) == (100, 0)
        look(store)
        clock.now_s += HOUR_S
        look(store)
        assert (store.watermark, store.removed_through) == (100, 100)
    with duckdb.connect(path) as database:
        assert database.execute("SELECT count(*) FROM events_readable").fetchall() == [(0,)]


def test_space_is_given_back_to_the_system(tmp_path: Path) -> None:
    path, clock = tmp_path / "events.duckdb", Clock()
    with store_of(path, clock, max_age_s=HOUR_S) as store:
        for seed in range(30):
            store.append(random_batch(10_000, 200, seed))
        look(store)
        clock.now_s += HOUR_S / 2
        for seed in range(30, 36):
            store.append(random_batch(10_000, 200, seed))
        look(store)
        rows_of(store, "CHECKPOINT")
        large = files_bytes(tmp_path)
        kept = rows_of(store, "SELECT * FROM events WHERE sequence > 300000 ORDER BY sequence")
        clock.now_s += HOUR_S / 2
        look(store, times=60)
        assert store.removed_through == 300_000
        assert rows_of(store, "SELECT * FROM events ORDER BY sequence") == kept
        # A sixth of the events are left, at the end of the file as it was.
        assert files_bytes(tmp_path) < large / 2
        # Nothing is left to do.
        look(store)
        assert store._retention is not None
        assert not store._retention._has_space_to_free
        assert store._retention._compact_from is None
    assert large > 60 * MIB


def test_a_batch_that_the_bound_has_no_room_for_is_refused_and_nothing_else(tmp_path: Path) -> None:
    with store_of(tmp_path / "events.duckdb", max_bytes=16 * MIB) as store:
        store.append(batch(10))
        with pytest.raises(LimitReached, match="max_database_bytes: the limit of 16777216 bytes"):
            store.append(random_batch(10_000, 1_000, seed=1))
        assert store.watermark == 10
        assert store.append(batch(10)).sequences == range(11, 21)
