"""Stored events → a StreamEventsResponse, in either encoding."""

import google_crc32c
import pyarrow as pa

from argus_grpc.encode.arrow import to_arrow_stream, to_wire_types
from argus_grpc.encode.rows import to_row_messages
from argus_grpc.v1.export_pb2 import Encoding, EventBatch, StreamEventsResponse
from argus_grpc.wire import WireType


def encode_batch(
    events: pa.RecordBatch, encoding: "Encoding.ValueType", first_row: int, resume_token: str
) -> bytes:
    """A StreamEventsResponse with these events as its batch, serialized.

    `events` has columns of the schema as the store gives them. The payload is copied once, where
    setting it in a message, and that in another, would copy it twice more.
    """
    if encoding == Encoding.ENCODING_ARROW:
        field, payload = EventBatch.ARROW_FIELD_NUMBER, to_arrow_stream(to_wire_types(events))
    else:
        field, payload = EventBatch.ROWS_FIELD_NUMBER, to_row_messages(events)
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
    prefix = bytearray([field << 3 | WireType.LEN])
    while length > 0x7F:
        prefix.append(length & 0x7F | 0x80)
        length >>= 7
    prefix.append(length)
    return bytes(prefix)
