"""The search for where the newest events begin."""

from bisect import bisect_left

from hypothesis import given
from hypothesis import strategies as st

from argus_client.newest import newest_start

INT64 = st.integers(-(2**63), 2**63 - 1)
CLOSE = st.integers(0, 50)


@given(
    times=st.one_of(
        st.lists(INT64, min_size=1, max_size=60),
        st.lists(CLOSE, min_size=1, max_size=60),
        st.lists(st.sampled_from([0, 10**18, 10**18 + 1]), min_size=1, max_size=60),
    ).map(sorted),
    copies=st.sampled_from([1, 100, 10_000]),
    data=st.data(),
)
def test_enough_are_found_in_few_counts(times: list[int], copies: int, data: st.DataObject) -> None:
    total = len(times) * copies
    wanted = data.draw(st.integers(1, total))
    counts: list[int] = []

    def count_from(start_ns: int) -> int:
        assert times[0] < start_ns <= times[-1]
        counts.append(start_ns)
        return (len(times) - bisect_left(times, start_ns)) * copies

    start_ns = newest_start(count_from, times[0], times[-1], total, wanted)
    assert (len(times) - bisect_left(times, start_ns)) * copies >= wanted
    assert len(counts) <= 24


def test_even_events_are_narrowed_at_once() -> None:
    counts: list[int] = []

    def count_from(start_ns: int) -> int:
        counts.append(start_ns)
        return 10_000_000 - start_ns // 1_000

    start_ns = newest_start(count_from, 0, 9_999_999_000, 10_000_000, 100)
    assert 100 <= 10_000_000 - start_ns // 1_000 <= 2_000
    assert len(counts) <= 2


def test_a_burst_long_ago_is_not_read() -> None:
    # A million events in the first second of a year, and 5,000 in its last hour.
    year_ns, hour_ns = 365 * 86_400 * 10**9, 3_600 * 10**9

    def count_from(start_ns: int) -> int:
        late = min(5_000, 5_000 * (year_ns - start_ns) // hour_ns)
        return late + max(0, 1_000_000 - start_ns // 1_000)

    start_ns = newest_start(count_from, 0, year_ns, 1_005_000, 100)
    assert 100 <= count_from(start_ns) <= 2_000
