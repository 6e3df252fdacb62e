"""Stored events as an Arrow batch → the bytes of a message."""

import google_crc32c
import pyarrow as pa
import pyarrow.compute as pc

from argus_grpc.columns import COLUMNS_BY_NAME, EVENT_TYPE_CODES, EVENT_TYPE_NAMES
from argus_grpc.v1.event_pb2 import Event, Events
from argus_grpc.v1.export_pb2 import ColumnType, Encoding, EventBatch, StreamEventsResponse

_LENGTH_DELIMITED = 2
_EVENT_TYPE_TEXTS = pa.array(EVENT_TYPE_NAMES.values(), pa.string())


def encode_batch(
    events: pa.RecordBatch, encoding: "Encoding.ValueType", first_row: int, resume_token: str
) -> bytes:
    """A StreamEventsResponse with these events as its batch, serialized.

    `events` has columns of the schema as the store gives them. The payload is copied once, where
    setting it in a message, and that in another, would copy it twice more.
    """
    payload: bytes | pa.Buffer
    if encoding == Encoding.ENCODING_ARROW:
        field, payload = EventBatch.ARROW_FIELD_NUMBER, to_arrow_stream(to_wire_types(events))
    else:
        field, payload = EventBatch.ROWS_FIELD_NUMBER, to_messages(events).SerializeToString()
    batch = EventBatch(
        first_row=first_row,
        row_count=events.num_rows,
        resume_token=resume_token,
        crc32c=google_crc32c.value(payload),
    )
    head = batch.SerializeToString() + _prefix(field, len(payload))
    outer = _prefix(StreamEventsResponse.BATCH_FIELD_NUMBER, len(head) + len(payload))
    return b"".join((outer, head, payload))


def _prefix(field: int, length: int) -> bytes:
    """What goes before a length-delimited field (protobuf's encoding guide, "Message Structure")."""
    prefix = bytearray([field << 3 | _LENGTH_DELIMITED])
    while length > 0x7F:
        prefix.append(length & 0x7F | 0x80)
        length >>= 7
    prefix.append(length)
    return bytes(prefix)


def to_wire_types(events: pa.RecordBatch) -> pa.RecordBatch:
    """The batch with event types as a dictionary of names, and timestamps as instants in UTC."""
    arrays = []
    for name, array in zip(events.schema.names, events.columns, strict=True):
        match COLUMNS_BY_NAME[name].type:
            case ColumnType.COLUMN_TYPE_EVENT_TYPE:
                places = pc.index_in(array, EVENT_TYPE_CODES).cast(pa.int8())
                arrays.append(pa.DictionaryArray.from_arrays(places, _EVENT_TYPE_TEXTS))
            case ColumnType.COLUMN_TYPE_TIMESTAMP_NS:
                arrays.append(array.view(pa.timestamp("ns", tz="UTC")))
            case _:
                arrays.append(array)
    return pa.RecordBatch.from_arrays(arrays, names=events.schema.names)


def to_arrow_stream(batch: pa.RecordBatch) -> pa.Buffer:
    """A complete Arrow IPC stream of the one batch."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return sink.getvalue()


def to_messages(events: pa.RecordBatch) -> Events:
    """The batch as Event messages, NULL as unset."""
    rows = Events(events=(Event() for _ in range(events.num_rows)))
    for name, array in zip(events.schema.names, events.columns, strict=True):
        for event, value in zip(rows.events, array.to_pylist(), strict=True):
            if value is not None:
                setattr(event, name, value)
    return rows
