"""A stream of recorded events, cut and begun again, has each event once."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argus_client.collect import jfr_position
from argus_client.collect.jfr_position import OVERLAP_NS, JfrPosition

GAPS_NS = st.sampled_from([0, 0, 0, 1, 1_000_000, OVERLAP_NS - 1, OVERLAP_NS, 5 * OVERLAP_NS])


def takes(position: JfrPosition, events: list[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
    return [event for event in events if position.take(*event)]


@given(
    st.lists(st.tuples(GAPS_NS, st.sampled_from([b"a", b"b"])), min_size=1, max_size=80),
    st.lists(st.tuples(st.integers(0, 80), st.integers(0, 80)), max_size=4),
    st.sampled_from([3, 1_024]),
    st.booleans(),
)
def test_each_event_once(
    steps: list[tuple[int, bytes]], cuts: list[tuple[int, int]], remembered: int, sends_all: bool
) -> None:
    """Events with equal ends and equal texts; a process is killed some events after its last batch."""
    events, now_ns = [], 0
    for gap_ns, text in steps:
        now_ns += gap_ns
        events.append((now_ns, text))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jfr_position, "MAX_REMEMBERED", remembered)
        kept: list[tuple[int, bytes]] = []
        state = None
        for seen, spooled in [*cuts, (len(events), len(events))]:
            position = JfrPosition(None if state is None else json.loads(json.dumps(state)))
            position.begin()
            # Some types come from the beginning of the repository, whenever they were.
            stream = [event for event in events if sends_all or event[0] > position.after_ns]
            new = takes(position, stream[: min(seen, spooled)])
            kept, state = kept + new, position.state()
            takes(position, stream[min(seen, spooled) : seen])
    assert sorted(kept) == sorted(events)


def test_what_is_late_in_a_stream_is_taken() -> None:
    position = JfrPosition()
    position.begin()
    assert position.take(10 * OVERLAP_NS, b"a")
    assert position.take(1, b"b")


def test_what_is_remembered_is_bounded() -> None:
    position = JfrPosition()
    position.begin()
    takes(position, [(number, b"%d" % number) for number in range(5_000)])
    assert position.after_ns == 5_000 - 1 - jfr_position.MAX_REMEMBERED
    assert len(position.state()["taken"]) == jfr_position.MAX_REMEMBERED
