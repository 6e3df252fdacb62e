"""How events become batches, and what is said of them."""

from collections.abc import Iterator
from itertools import pairwise

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from argus_client.errors import InvalidRequest, ServerUnavailable
from argus_client.ingest import (
    MAX_EVENT_BYTES,
    IngestResult,
    arrow_batches,
    batched,
    ingest,
    message_batches,
    with_ids,
)
from argus_grpc.v1.event_pb2 import Event, Events, EventType
from argus_grpc.v1.ingest_pb2 import IngestEventsRequest, IngestEventsResponse


class Store:
    """Gives sequence numbers as a server does."""

    def __init__(self, fails_at: int | None = None) -> None:
        self.batches: list[list[Event]] = []
        self.next_sequence = 101
        self._fails_at = fails_at

    def __call__(self, request: IngestEventsRequest) -> IngestEventsResponse:
        if len(self.batches) == self._fails_at:
            raise ServerUnavailable("gone")
        self.batches.append(list(request.rows.events))
        first = self.next_sequence
        self.next_sequence += len(request.rows.events)
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
        message_batches((event(kind=kind) for kind in kinds), max_batch_events=2),
        store,
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
    batches = message_batches((event() for _ in range(10)), max_batch_events=3)
    with pytest.raises(ServerUnavailable):
        ingest(batches, Store(fails_at=2), on_progress=stored.append)
    assert (stored[-1].events, stored[-1].last_sequence) == (6, 106)


def test_the_largest_event_goes_alone_and_one_larger_is_refused() -> None:
    largest = event(MAX_EVENT_BYTES - event().ByteSize() - 3)  # its text's length takes 3 bytes more
    assert largest.ByteSize() == MAX_EVENT_BYTES
    store = Store()
    ingest(message_batches([event(), largest, event()]), store)
    assert [len(batch) for batch in store.batches] == [1, 1, 1]

    store = Store()
    too_large = event(MAX_EVENT_BYTES)
    told = (
        r"rows\.events\[2\]: 3,145,7\d\d bytes in one event, whose longest field is stack_trace; "
        r"allowed: up to 3,145,728"
    )
    with pytest.raises(InvalidRequest, match=told):
        ingest(message_batches([event(), event(), too_large, event()]), store)
    assert [len(batch) for batch in store.batches] == [2]


def ids_of(texts: list[str], max_batch_events: int = 2) -> list[str]:
    events = (Event(timestamp=1, event_type=20, source="s", stack_trace=text) for text in texts)  # type: ignore[arg-type]
    return [b.request.batch_id for b in with_ids(message_batches(events, max_batch_events=max_batch_events))]


def test_ids_say_what_is_in_a_batch_and_before_it() -> None:
    texts = ["a", "b"] * 3 + ["c"]
    ids = ids_of(texts)
    assert ids_of(texts) == ids
    assert len(set(ids)) == 4
    assert all(0 < len(id_) <= 200 for id_ in ids)
    # Of a file with another end, those before it are the same; after a change none is.
    assert ids_of([*texts[:-1], "d"])[:3] == ids[:3]
    assert set(ids_of(["x", *texts[1:]])).isdisjoint(ids)


def test_a_batch_goes_under_its_first_event_s_source() -> None:
    sources = ["a", "b", "c" * 2_000]
    events = [Event(timestamp=1, event_type=20, source=source) for source in sources]  # type: ignore[arg-type]
    batches = with_ids(message_batches(events, max_batch_events=1))
    assert [batch.request.source for batch in batches] == ["a", "b", "c" * 1_000]
    table = pa.table({"timestamp": [1, 2], "event_type": ["START", "START"], "source": ["x", "y"]})
    (batch,) = with_ids(arrow_batches([table]))
    assert (batch.request.source, len(batch.request.batch_id)) == ("x", 32)
