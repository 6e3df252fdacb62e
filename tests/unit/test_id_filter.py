"""The filter of ids: whatever was added is found, where it was added, until it is forgotten."""

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from argus_grpc.store.id_filter import IdFilter

SEGMENT_IDS, MAX_SEGMENTS = 4, 3

# Few values, so that they come again; each addition of some, and how many seconds after the last one.
ADDITIONS = st.lists(
    st.tuples(st.lists(st.integers(-5, 20), min_size=1, max_size=6), st.integers(0, 3)), max_size=25
)


@given(additions=ADDITIONS, forget_every=st.integers(1, 5), lifetime_s=st.integers(0, 10))
def test_what_was_added_is_found_unless_it_was_forgotten(
    additions: list[tuple[list[int], int]], forget_every: int, lifetime_s: int
) -> None:
    ids = IdFilter(SEGMENT_IDS, MAX_SEGMENTS)
    places: dict[int, list[tuple[int, int]]] = {}
    place = now_s = first_kept = 0
    for number, (hashes, later_s) in enumerate(additions):
        now_s += later_s
        ids.add(np.array(hashes, np.int64), place, now_s)
        for hash_ in hashes:
            places.setdefault(hash_, []).append((place, now_s))
        place += len(hashes)
        if number % forget_every == 0:
            first_kept = ids.forget(now_s - lifetime_s) or first_kept

        wanted = list(range(-6, 22))
        found: dict[int, list[range]] = {}
        for index, where in ids.find(np.array(wanted, np.int64)):
            found.setdefault(wanted[index], []).append(where)
        for hash_, added in places.items():
            for its_place, its_time_s in added:
                if its_place >= first_kept and its_time_s >= now_s - lifetime_s:
                    assert any(its_place in where for where in found[hash_])
        assert found.keys() <= places.keys()
        for ranges in found.values():
            starts = [where.start for where in ranges]
            assert starts == sorted(starts, reverse=True)
            assert all(older.stop <= newer.start for newer, older in pairwise(ranges))


def test_too_many_ids_go_a_segment_at_a_time() -> None:
    ids = IdFilter(SEGMENT_IDS, MAX_SEGMENTS)
    for place in range(SEGMENT_IDS * MAX_SEGMENTS):
        ids.add(np.array([place], np.int64), place, 0)
        assert ids.forget(0) is None
    for place in range(SEGMENT_IDS * MAX_SEGMENTS, SEGMENT_IDS * (MAX_SEGMENTS + 1)):
        ids.add(np.array([place], np.int64), place, 0)
    assert ids.forget(0) == SEGMENT_IDS
    assert len(ids) == SEGMENT_IDS * MAX_SEGMENTS
    kept = {index for index, _ in ids.find(np.arange(SEGMENT_IDS * (MAX_SEGMENTS + 1)))}
    assert kept == set(range(SEGMENT_IDS, SEGMENT_IDS * (MAX_SEGMENTS + 1)))
