"""Events, however many, to a server in batches that fit a message."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from argus_client.errors import InvalidRequest, Violation
from argus_grpc.v1.event_pb2 import Event, EventType
from argus_grpc.v1.ingest_pb2 import IngestEventsResponse

DEFAULT_MAX_BATCH_BYTES = 1024 * 1024
"""What the contract tells writers to aim at, well below gRPC's 4 MiB."""

DEFAULT_MAX_BATCH_EVENTS = 16_384

MAX_EVENT_BYTES = 3 * 1024 * 1024
"""The largest event that a server takes."""

Send = Callable[[Sequence[Event]], IngestEventsResponse]
"""Stores one batch: ExportClient.ingest_events."""


@dataclass
class IngestResult:
    """What has been stored: by event type, in how many batches, and the first and last sequence
    number given (None: nothing has been). Between them may be others' events."""

    counts: Counter["EventType.ValueType"] = field(default_factory=Counter)
    batches: int = 0
    first_sequence: int | None = None
    last_sequence: int | None = None

    @property
    def events(self) -> int:
        return self.counts.total()


def ingest(
    events: Iterable[Event],
    send: Send,
    *,
    max_batch_bytes: int = DEFAULT_MAX_BATCH_BYTES,
    max_batch_events: int = DEFAULT_MAX_BATCH_EVENTS,
    on_progress: Callable[[IngestResult], None] | None = None,
) -> IngestResult:
    """Sends the events in batches, one after the other, and says what was stored.

    max_batch_bytes: the most that a batch has as a message; only an event that is larger alone
        gets a larger batch, of its own.
    on_progress: called after each batch with what has been stored up to there; always with the
        same object, so that a caller has it when this raises.

    Raises InvalidRequest for an event over MAX_EVENT_BYTES, and whatever reading the events or
    sending them raises; batches sent before stay stored.
    """
    result = IngestResult()
    for batch in batched(events, max_batch_bytes, max_batch_events):
        answer = send(batch)
        result.counts.update(event.event_type for event in batch)
        result.batches += 1
        if result.first_sequence is None:
            result.first_sequence = answer.first_sequence
        result.last_sequence = answer.last_sequence
        if on_progress is not None:
            on_progress(result)
    return result


def batched(events: Iterable[Event], max_bytes: int, max_events: int) -> Iterator[list[Event]]:
    """Yields the events in lists that, as an Events message, have at most max_bytes bytes (or hold
    one event) and at most max_events events. Raises InvalidRequest for an event over
    MAX_EVENT_BYTES, after what came before it."""
    batch: list[Event] = []
    batch_bytes = 0
    for place, event in enumerate(events):
        event_bytes = event.ByteSize()
        if event_bytes > MAX_EVENT_BYTES:
            if batch:
                yield batch
            raise InvalidRequest(*_too_large(event, place, event_bytes))
        in_batch_bytes = 1 + _varint_bytes(event_bytes) + event_bytes
        if batch and (batch_bytes + in_batch_bytes > max_bytes or len(batch) >= max_events):
            yield batch
            batch, batch_bytes = [], 0
        batch.append(event)
        batch_bytes += in_batch_bytes
    if batch:
        yield batch


def _varint_bytes(number: int) -> int:
    return max(1, -(-number.bit_length() // 7))


def _too_large(event: Event, place: int, event_bytes: int) -> tuple[str, tuple[Violation, ...]]:
    longest, _ = max(
        ((f.name, value) for f, value in event.ListFields() if isinstance(value, str)),
        key=lambda named: len(named[1]),
        default=("event", ""),
    )
    told = f"event {place + 1:,} has {event_bytes:,} bytes; allowed: up to {MAX_EVENT_BYTES:,}"
    return f"{told} (its longest field is {longest})", (Violation(longest, told),)
