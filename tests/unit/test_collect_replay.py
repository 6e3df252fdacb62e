"""Which messages are new: against a model of an Argus server and its ring of 100 events."""

import json
from collections import deque
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argus_client.collect.argus_messages import Message
from argus_client.collect.replay import RING_EVENTS, ReplayFilter
from argus_grpc.v1.event_pb2 import Event

RINGS = ["v", "vg", "vgx"]
"""What a ring holds: virtual threads' events (v), others (g), messages that are no events (x)."""


def message_of(text: str) -> Message:
    if text[0] == "x":
        return Message(oddity=text)
    return Message(Event(thread_name=text), is_virtual_thread=text[0] == "v")


def text_of(message: Message) -> str:
    return message.oddity or (message.event or Event()).thread_name


class Model:
    """A server, a collector, and what the collector should make of it: each thing that happened, when
    it is sent for the first time. Things are known by their place, not by their text."""

    def __init__(self, ring: str, capacity: int = RING_EVENTS) -> None:
        self._kept = ring
        self._happened: list[str] = []
        self._ring: deque[int] = deque(maxlen=capacity)
        self._sent: set[int] = set()
        self.filter = ReplayFilter()
        self.expected: list[str] = []
        self.received: list[str] = []

    def happen(self, texts: Sequence[str]) -> list[int]:
        first = len(self._happened)
        self._happened += texts
        places = list(range(first, len(self._happened)))
        self._ring.extend(place for place in places if self._happened[place][0] in self._kept)
        return places

    def connect(self, then: Sequence[str] = (), cut_after: int | None = None, late: int = 0) -> None:
        """It sends the ring, the last `late` of it again, then what happens; and is cut."""
        replay = list(self._ring)
        twice = replay[len(replay) - late :]
        sent = [*replay, *twice, *self.happen(then)][:cut_after]
        for place in sent:
            if place not in self._sent:
                self._sent.add(place)
                self.expected.append(self._happened[place])
        self.filter.connected()
        for place in sent:
            text = self._happened[place]
            self.received += map(text_of, self.filter.receive(text, message_of(text)))
        self.received += map(text_of, self.filter.disconnected())

    def restart(self) -> None:
        """The collector's."""
        self.filter = ReplayFilter(json.loads(json.dumps(self.filter.state())))


def named(letters: Sequence[str], first: int) -> list[str]:
    return [f"{letter}{first + place}" for place, letter in enumerate(letters)]


LETTERS = st.lists(st.sampled_from("vvvgx"), max_size=60) | st.integers(60, 250).map(lambda n: "v" * n)
SESSIONS = st.lists(
    st.tuples(LETTERS, LETTERS, st.none() | st.integers(0, 250), st.booleans()), min_size=1, max_size=6
)


@given(st.sampled_from(RINGS), SESSIONS)
def test_every_event_that_was_sent_once(
    ring: str, sessions: list[tuple[Sequence[str], Sequence[str], int | None, bool]]
) -> None:
    """Things happen while nobody listens, and while somebody does until the connection is cut, in the
    middle of the repetition or after it; the collector is started again or not."""
    model = Model(ring)
    count = 0
    for away, then, cut_after, restarts in sessions:
        model.happen(named(away, count))
        count += len(away)
        model.connect(named(then, count), cut_after)
        count += len(then)
        if restarts:
            model.restart()
    assert model.received == model.expected


@given(
    st.lists(st.tuples(st.text("ab", max_size=15), st.text("ab", max_size=15), st.integers(0, 60))).filter(
        lambda sessions: sum(len(away) + len(then) for away, then, _ in sessions) <= RING_EVENTS
    )
)
def test_equal_events_that_are_two_stay_two(sessions: list[tuple[str, str, int]]) -> None:
    """As long as nothing has left the ring, the order tells all."""
    model = Model("v")
    for away, then, cut_after in sessions:
        model.happen([f"v{letter}" for letter in away])
        model.connect([f"v{letter}" for letter in then], cut_after)
    assert model.received == model.expected


def test_an_event_again_and_again_past_the_ring_s_size() -> None:
    model = Model("v")
    model.connect(["v"] * 250)
    model.connect(["v"] * 250)
    assert len(model.received) == 500


@given(st.integers(0, 300), st.integers(0, RING_EVENTS), st.integers(0, 150))
def test_what_a_server_sends_both_live_and_in_the_repetition(seen: int, late: int, missed: int) -> None:
    model = Model("v")
    model.connect(named("v" * (seen + RING_EVENTS), 0))
    model.happen(named("v" * missed, 1_000))
    model.connect(named("vgvxv", 2_000), late=late)
    model.connect(named("vgvxv", 3_000), late=late)
    assert model.received == model.expected


def test_a_ring_that_has_yet_to_drop_its_oldest() -> None:
    model = Model("v", capacity=RING_EVENTS + 1)
    model.connect(named("v" * 300, 0))
    model.connect(named("vv", 300))
    assert model.received == model.expected


@pytest.mark.parametrize("ring", RINGS)
def test_the_rest_of_what_was_held_back_comes_when_the_connection_ends(ring: str) -> None:
    model = Model(ring)
    model.connect(["va", "va", "g1", "va", "va"])
    model.connect([], cut_after=2)
    model.connect(["vb"])
    assert model.received == model.expected


def test_gaps_are_counted_once_a_connect() -> None:
    model = Model("v")
    model.connect(named("v" * 10, 0))
    assert (model.filter.gaps, model.filter.repeated) == (0, 0)
    model.happen(named("v" * 90, 10))
    model.connect()
    assert (model.filter.gaps, model.filter.repeated) == (0, 10)
    model.happen(named("v" * 101, 100))
    model.connect(named("v", 201))
    assert (model.filter.gaps, model.filter.repeated) == (1, 10)
    assert model.received == named("v" * 100, 0) + named("v" * 101, 101)


@pytest.mark.parametrize("state", [{"messages": "0"}, {"messages": "00"}, {"events": "zz"}])
def test_a_state_that_is_none(state: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"digest|hexadecimal"):
        ReplayFilter(state)
