"""Windows part any events, whatever their timestamps, and cover each once, in order."""

from bisect import bisect_left
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from argus_grpc.windows import SEQUENCE_SPAN, cut_windows, position, split_position

INT64 = st.integers(-(2**63), 2**63 - 1)
# Timestamps that pile up on few values, cluster, and lie far apart.
TIMESTAMPS = st.one_of(st.integers(0, 3), st.integers(10**18, 10**18 + 1000), INT64)


@given(timestamps=st.lists(TIMESTAMPS, min_size=1, max_size=300), target=st.integers(1, 20))
def test_windows_cover_every_event_once_in_order_and_stay_small(timestamps: list[int], target: int) -> None:
    places = sorted(position(timestamp, sequence) for sequence, timestamp in enumerate(timestamps, start=1))

    def count(start: int, end: int) -> int:
        return bisect_left(places, end) - bisect_left(places, start)

    windows = list(cut_windows(places[0], places[-1] + 1, len(places), count, lambda: target))

    assert [window.row_count for window in windows] == [count(w.start, w.end) for w in windows]
    assert sum(window.row_count for window in windows) == len(places)
    assert all(0 < window.row_count <= 2 * target for window in windows)
    assert all(before.end <= after.start for before, after in pairwise(windows))


@given(timestamps=st.lists(TIMESTAMPS, min_size=1, max_size=300))
def test_few_counts_are_asked_for(timestamps: list[int]) -> None:
    places = sorted(position(timestamp, sequence) for sequence, timestamp in enumerate(timestamps, start=1))
    counted = 0

    def count(start: int, end: int) -> int:
        nonlocal counted
        counted += 1
        return bisect_left(places, end) - bisect_left(places, start)

    windows = list(cut_windows(places[0], places[-1] + 1, len(places), count, lambda: 10))

    # 2^127 positions are crossed in steps that grow 8 times where nothing is: 43 for each gap.
    assert counted <= 43 * 3 * (len(windows) + 1)


def test_events_that_vanish_end_the_windows() -> None:
    windows = list(cut_windows(0, 1000, 500, lambda _start, _end: 0, lambda: 10))
    assert windows == []


@given(timestamp=INT64, sequence=st.integers(0, SEQUENCE_SPAN - 1))
def test_positions_order_as_pairs_and_split_again(timestamp: int, sequence: int) -> None:
    assert split_position(position(timestamp, sequence)) == (timestamp, sequence)
    assert position(timestamp, sequence) < position(timestamp + 1, 0)
