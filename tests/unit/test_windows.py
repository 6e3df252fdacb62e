"""Windows part any events, whatever their timestamps, and cover each once, in order."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from argus_grpc.windows import SEQUENCE_SPAN, cut_windows, position, split_position

INT64 = st.integers(-(2**63), 2**63 - 1)
# Timestamps that pile up on few values, cluster, and lie far apart.
TIMESTAMPS = st.one_of(st.integers(0, 3), st.integers(10**18, 10**18 + 1000), INT64)


@dataclass(frozen=True)
class Rows:
    places: Sequence[int]

    @property
    def num_rows(self) -> int:
        return len(self.places)


class Places:
    """Events at some positions, and how often they are looked at."""

    def __init__(self, timestamps: Sequence[int]) -> None:
        places = [position(timestamp, sequence) for sequence, timestamp in enumerate(timestamps, start=1)]
        self.all = sorted(places)
        self.first, self.end = self.all[0], self.all[-1] + 1
        self.asked = 0

    def place_after(self, start: int, end: int, rows: int) -> int:
        self.asked += 1
        place = bisect_left(self.all, start) + rows
        return min(end, self.all[place]) if place < len(self.all) else end

    def read(self, start: int, end: int, max_rows: int) -> Rows | None:
        self.asked += 1
        found = self.all[bisect_left(self.all, start) : bisect_left(self.all, end)]
        return Rows(found) if len(found) <= max_rows else None


@given(
    timestamps=st.lists(TIMESTAMPS, min_size=1, max_size=300),
    target=st.integers(1, 20),
    wanted=st.integers(1, 400),
    grain=st.sampled_from([1, SEQUENCE_SPAN]),
)
def test_windows_cover_every_event_once_in_order_and_stay_small(
    timestamps: list[int], target: int, wanted: int, grain: int
) -> None:
    places = Places(timestamps)
    total = len(timestamps)

    windows = list(
        cut_windows(
            places.first,
            places.end,
            total,
            wanted,
            places.read,
            places.place_after,
            lambda: target,
            grain=grain,
        )
    )

    read = [place for window in windows for place in window.places]
    assert read == places.all[: len(read)]
    assert min(total, wanted) <= len(read)
    assert sum(window.num_rows for window in windows[:-1]) < wanted
    assert all(0 < window.num_rows <= 2 * target for window in windows)


@given(timestamps=st.lists(TIMESTAMPS, min_size=1, max_size=300))
def test_few_looks_are_taken(timestamps: list[int]) -> None:
    places = Places(timestamps)
    total = len(timestamps)
    windows = list(
        cut_windows(places.first, places.end, total, total, places.read, places.place_after, lambda: 10)
    )
    # 2^127 positions are crossed in steps that grow 8 times where nothing is: 43 for each gap. A step
    # that was too long is found out, mended and taken.
    assert places.asked <= 3 * 43 * (len(windows) + 1)


def test_a_limit_is_met_with_few_looks_where_density_leaps() -> None:
    places = Places([*range(0, 10**9, 10**6), *range(10**9, 10**9 + 10**6)])
    total = len(places.all)
    windows = list(
        cut_windows(places.first, places.end, total, 1_500, places.read, places.place_after, lambda: 4_096)
    )
    assert sum(window.num_rows for window in windows) == 1_500
    assert places.asked <= 20


def test_events_that_vanish_end_the_windows() -> None:
    def read(start: int, end: int, _max_rows: int) -> Rows | None:
        return None if end - start > 8 else Rows([])

    def halfway(start: int, end: int, _rows: int) -> int:
        return (start + end) // 2

    assert list(cut_windows(0, 1000, 500, 500, lambda *_: Rows([]), lambda *_: 0, lambda: 10)) == []
    assert list(cut_windows(0, 1000, 500, 500, read, halfway, lambda: 10)) == []


@given(timestamp=INT64, sequence=st.integers(0, SEQUENCE_SPAN - 1))
def test_positions_order_as_pairs_and_split_again(timestamp: int, sequence: int) -> None:
    assert split_position(position(timestamp, sequence)) == (timestamp, sequence)
    assert position(timestamp, sequence) < position(timestamp + 1, 0)
