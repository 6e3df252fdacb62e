"""Events, however many, to a server in batches that fit a message, each under an id of its own."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b

import pyarrow as pa

from argus_client.errors import InvalidRequest, Violation
from argus_client.query import EVENT_TYPE_CODES, invalid_request
from argus_grpc.v1.event_pb2 import Event, Events, EventType
from argus_grpc.v1.ingest_pb2 import IngestEventsRequest, IngestEventsResponse

DEFAULT_MAX_BATCH_BYTES = 1024 * 1024
"""What the contract tells writers to aim at, well below gRPC's 4 MiB."""

DEFAULT_MAX_BATCH_EVENTS = 16_384

MAX_EVENT_BYTES = 3 * 1024 * 1024
"""The largest event that a server takes."""

# What a stream of one event has besides: schema and metadata.
_STREAM_OVERHEAD_BYTES = 64 * 1024

_BATCH_ID_BYTES = 16
_MAX_SOURCE_CHARACTERS = 1_000

_PLACE = re.compile(r"\[(\d+)\]")


@dataclass(frozen=True)
class Batch:
    """Events that are stored together: the request for it, and how many there are of each type.

    source: which JVM its first event is from.
    """

    request: IngestEventsRequest
    counts: "Counter[EventType.ValueType]"
    source: str


Send = Callable[[IngestEventsRequest], IngestEventsResponse]
"""Stores one batch: ExportClient.send_batch."""


@dataclass
class IngestResult:
    """What has been stored: by event type, in how many batches, and the first and last sequence
    number given (None: nothing has been). Between them may be others' events.

    stored_before: what an earlier call had stored of it, by event type; `counts` has the rest.
    """

    counts: Counter["EventType.ValueType"] = field(default_factory=Counter)
    stored_before: Counter["EventType.ValueType"] = field(default_factory=Counter)
    batches: int = 0
    first_sequence: int | None = None
    last_sequence: int | None = None

    @property
    def events(self) -> int:
        """How many have been stored."""
        return self.counts.total()

    @property
    def acknowledged(self) -> int:
        """How many are in the store now, whenever they got there."""
        return self.events + self.stored_before.total()

    def add(self, counts: "Counter[EventType.ValueType]", answer: IngestEventsResponse) -> None:
        """Counts a batch that a server took."""
        self.batches += 1
        if answer.was_stored_before:
            self.stored_before.update(counts)
            return
        self.counts.update(counts)
        if self.first_sequence is None:
            self.first_sequence = answer.first_sequence
        self.last_sequence = answer.last_sequence


def ingest(
    batches: Iterable[Batch], send: Send, *, on_progress: Callable[[IngestResult], None] | None = None
) -> IngestResult:
    """Sends the batches, one after the other, and says what was stored.

    on_progress: called after each batch with what has been stored up to there; always with the
        same object, so that a caller has it when this raises.

    Raises InvalidRequest, whose violations count events from 0 through all batches, and whatever
    reading the events or sending them raises; batches sent before stay stored.
    """
    result = IngestResult()
    for batch in batches:
        try:
            answer = send(batch.request)
        except InvalidRequest as error:
            if not result.acknowledged or not error.violations:
                raise
            violations = (_counted_from(result.acknowledged, violation) for violation in error.violations)
            raise invalid_request(tuple(violations)) from error
        result.add(batch.counts, answer)
        if on_progress is not None:
            on_progress(result)
    return result


def message_batches(
    events: Iterable[Event],
    *,
    max_batch_bytes: int = DEFAULT_MAX_BATCH_BYTES,
    max_batch_events: int = DEFAULT_MAX_BATCH_EVENTS,
) -> Iterator[Batch]:
    """Yields the events in batches of messages. Where they are cut, the events alone decide.

    max_batch_bytes: the most that a batch has as a message; only an event that is larger alone
        gets a larger batch, of its own.

    Raises InvalidRequest for an event over MAX_EVENT_BYTES, after what came before it.
    """
    for batch in batched(events, max_batch_bytes, max_batch_events):
        counts = Counter(event.event_type for event in batch)
        yield Batch(IngestEventsRequest(rows=Events(events=batch)), counts, batch[0].source)


def arrow_batches(
    tables: Iterable[pa.RecordBatch | pa.Table], *, max_batch_bytes: int = DEFAULT_MAX_BATCH_BYTES
) -> Iterator[Batch]:
    """Yields the rows in batches of columns. Where they are cut, tables and rows alone decide.

    max_batch_bytes: as for `message_batches`.

    Raises InvalidRequest for a row over MAX_EVENT_BYTES, after what came before it.
    """
    first_row = 0
    for table in tables:
        try:
            for batch, stream in to_arrow_streams(table, max_batch_bytes):
                has_source = "source" in batch.schema.names and batch["source"][0].is_valid
                source = str(batch["source"][0]) if has_source else ""
                yield Batch(IngestEventsRequest(arrow=stream), _count_types(batch), source)
        except InvalidRequest as error:
            raise invalid_request(tuple(_counted_from(first_row, v) for v in error.violations)) from error
        first_row += table.num_rows


def with_ids(batches: Iterable[Batch]) -> Iterator[Batch]:
    """Gives each batch an id made of what is in it and in all before it, and its first event's source.

    So whatever has the same events gets the same ids, again and wherever it was left off; two equal
    batches of one run do not.
    """
    digest = b""
    for batch in batches:
        request = batch.request
        is_arrow = request.HasField("arrow")
        content = request.arrow if is_arrow else request.rows.SerializeToString(deterministic=True)
        digest = blake2b(digest + content, digest_size=_BATCH_ID_BYTES).digest()
        request.batch_id = digest.hex()
        request.source = batch.source[:_MAX_SOURCE_CHARACTERS]
        yield batch


def to_arrow_streams(
    events: pa.RecordBatch | pa.Table, max_bytes: int = DEFAULT_MAX_BATCH_BYTES
) -> Iterator[tuple[pa.RecordBatch, bytes]]:
    """Yields the rows as Arrow IPC streams of at most max_bytes (or one row), each with the rows that
    it has. Raises InvalidRequest for a row that is over MAX_EVENT_BYTES, after what came before it."""
    table = pa.Table.from_batches([events]) if isinstance(events, pa.RecordBatch) else events
    first_row = 0
    rows = DEFAULT_MAX_BATCH_EVENTS
    while first_row < table.num_rows:
        batch = _plain(table.slice(first_row, rows))
        stream = _to_stream(batch)
        if len(stream) > max_bytes and batch.num_rows > 1:
            rows = max(1, min(batch.num_rows // 2, max_bytes * batch.num_rows // len(stream)))
            continue
        if len(stream) > max(max_bytes, MAX_EVENT_BYTES + _STREAM_OVERHEAD_BYTES):
            told = f"{len(stream):,} bytes in one event; allowed: up to {MAX_EVENT_BYTES:,}"
            raise invalid_request((Violation(f"arrow[{first_row}]", told),))
        yield batch, stream
        first_row += batch.num_rows
        # A little less than what would fit if rows went on like these.
        rows = max(1, batch.num_rows * max_bytes * 15 // 16 // len(stream))


def _plain(table: pa.Table) -> pa.RecordBatch:
    """The rows as one batch without dictionaries, which each slice would have whole."""
    for place, column in enumerate(table.schema):
        if pa.types.is_dictionary(column.type):
            table = table.set_column(place, column.name, table[place].cast(column.type.value_type))
    (batch,) = table.combine_chunks().to_batches()
    return batch


def _to_stream(batch: pa.RecordBatch) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    stream: bytes = sink.getvalue().to_pybytes()
    return stream


def _count_types(batch: pa.RecordBatch) -> "Counter[EventType.ValueType]":
    """How many of each type a batch has that a server will take."""
    if "event_type" not in batch.schema.names:
        return Counter()
    types = {pair["values"]: pair["counts"] for pair in batch["event_type"].value_counts().to_pylist()}
    return Counter({EVENT_TYPE_CODES.get(type_, type_): count for type_, count in types.items()})


def _counted_from(first_row: int, violation: Violation) -> Violation:
    field = _PLACE.sub(lambda place: f"[{first_row + int(place[1])}]", violation.field, count=1)
    return Violation(field, violation.description)


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
            raise _too_large(event, place, event_bytes)
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


def _too_large(event: Event, place: int, event_bytes: int) -> InvalidRequest:
    longest, _ = max(
        ((f.name, value) for f, value in event.ListFields() if isinstance(value, str)),
        key=lambda named: len(named[1]),
        default=("none", ""),
    )
    told = (
        f"{event_bytes:,} bytes in one event, whose longest field is {longest}; "
        f"allowed: up to {MAX_EVENT_BYTES:,}"
    )
    return invalid_request((Violation(f"rows.events[{place}]", told),))
