"""How events become batches, and what is said of them."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from argus_client.errors import InvalidRequest, ServerUnavailable
from argus_client.ingest import MAX_EVENT_BYTES, IngestResult, batched, ingest
from argus_grpc.v1.event_pb2 import Event, Events, EventType
from argus_grpc.v1.ingest_pb2 import IngestEventsResponse


class Store:
    """Gives sequence numbers as a server does."""

    def __init__(self, fails_at: int | None = None) -> None:
        self.batches: list[list[Event]] = []
        self.next_sequence = 101
        self._fails_at = fails_at

    def __call__(self, events: Sequence[Event]) -> IngestEventsResponse:
        if len(self.batches) == self._fails_at:
            raise ServerUnavailable("gone")
        self.batches.append(list(events))
        first = self.next_sequence
        self.next_sequence += len(events)
        return IngestEventsResponse(first_sequence=first, last_sequence=self.next_sequence - 1)


def event(text_bytes: int = 0, kind: "EventType.ValueType" = EventType.EVENT_TYPE_CPU_LOAD) -> Event:
    return Event(timestamp=1, event_type=kind, source="s", stack_trace="x" * text_bytes)


@settings(max_examples=100, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 400), max_size=60),
    max_bytes=st.integers(1, 1_000),
    max_events=st.integers(1, 10),
)
def test_batches_keep_the_bounds_and_the_order(sizes: list[int], max_bytes: int, max_events: int) -> None:
    given_events = [event(size) for size in sizes]
    batches = list(batched(given_events, max_bytes, max_events))
    assert [e for batch in batches for e in batch] == given_events
    for batch in batches:
        assert 1 <= len(batch) <= max_events
        assert len(batch) == 1 or Events(events=batch).ByteSize() <= max_bytes
    # No batch is smaller than it need be.
    for batch, following in pairwise(batches):
        fuller = [*batch, following[0]]
        assert len(fuller) > max_events or Events(events=fuller).ByteSize() > max_bytes


def test_only_one_batch_is_held() -> None:
    asked = 0

    def many() -> Iterator[Event]:
        nonlocal asked
        for _ in range(1_000):
            asked += 1
            yield event()

    for number, batch in enumerate(batched(many(), 1 << 20, 10), 1):
        assert len(batch) == 10
        assert asked <= number * 10 + 1


def test_result_and_progress() -> None:
    kinds = [EventType.EVENT_TYPE_CPU_LOAD] * 3 + [EventType.EVENT_TYPE_GC_PAUSE] * 2
    store = Store()
    seen: list[tuple[int, int]] = []
    result = ingest(
        (event(kind=kind) for kind in kinds),
        store,
        max_batch_events=2,
        on_progress=lambda r: seen.append((r.events, r.batches)),
    )
    assert [len(batch) for batch in store.batches] == [2, 2, 1]
    assert seen == [(2, 1), (4, 2), (5, 3)]
    assert result.counts == {EventType.EVENT_TYPE_CPU_LOAD: 3, EventType.EVENT_TYPE_GC_PAUSE: 2}
    assert (result.events, result.batches, result.first_sequence, result.last_sequence) == (5, 3, 101, 105)


def test_nothing_to_send() -> None:
    store = Store()
    assert ingest([], store) == IngestResult()
    assert store.batches == []


def test_a_failure_leaves_what_was_stored_known() -> None:
    stored: list[IngestResult] = []
    with pytest.raises(ServerUnavailable):
        ingest((event() for _ in range(10)), Store(fails_at=2), max_batch_events=3, on_progress=stored.append)
    assert (stored[-1].events, stored[-1].last_sequence) == (6, 106)


def test_the_largest_event_goes_alone_and_one_larger_is_refused() -> None:
    largest = event(MAX_EVENT_BYTES - event().ByteSize() - 3)  # its text's length takes 3 bytes more
    assert largest.ByteSize() == MAX_EVENT_BYTES
    store = Store()
    ingest([event(), largest, event()], store)
    assert [len(batch) for batch in store.batches] == [1, 1, 1]

    store = Store()
    too_large = event(MAX_EVENT_BYTES)
    told = r"event 3 has 3,145,7\d\d bytes; allowed: up to 3,145,728 \(its longest field is stack_trace\)"
    with pytest.raises(InvalidRequest, match=told):
        ingest([event(), event(), too_large, event()], store)
    assert [len(batch) for batch in store.batches] == [2]
