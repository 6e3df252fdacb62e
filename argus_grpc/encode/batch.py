"""Stored events, or groups of them, → a response message, in either encoding."""

from collections.abc import Sequence
from dataclasses import dataclass

import google_crc32c
import pyarrow as pa

from argus_grpc.columns import Column
from argus_grpc.encode.arrow import to_arrow_stream, to_wire_types
from argus_grpc.encode.cells import to_aggregate_rows
from argus_grpc.encode.rows import to_row_messages
from argus_grpc.v1.aggregate_pb2 import AggregateBatch
from argus_grpc.v1.export_pb2 import Encoding, EventBatch, StreamAggregatesResponse, StreamEventsResponse
from argus_grpc.wire import WireType


@dataclass(frozen=True)
class Encoded:
    """A response message with a batch, serialized, and what the batch is known by."""

    message: bytes
    first_row: int
    row_count: int
    payload_bytes: int
    crc32c: int


def encode_batch(
    events: pa.RecordBatch, encoding: "Encoding.ValueType", first_row: int, resume_token: str
) -> Encoded:
    """A StreamEventsResponse with these events as its batch.

    `events` has columns of the schema as the store gives them.
    """
    if encoding == Encoding.ENCODING_ARROW:
        field, payload = EventBatch.ARROW_FIELD_NUMBER, to_arrow_stream(to_wire_types(events))
    else:
        field, payload = EventBatch.ROWS_FIELD_NUMBER, to_row_messages(events)
    batch = EventBatch(first_row=first_row, row_count=events.num_rows, resume_token=resume_token)
    return _response(StreamEventsResponse.BATCH_FIELD_NUMBER, batch, field, payload)


def encode_groups(
    groups: pa.RecordBatch,
    columns: Sequence[Column],
    encoding: "Encoding.ValueType",
    first_row: int,
    resume_token: str,
) -> Encoded:
    """A StreamAggregatesResponse with these groups as its batch.

    `groups` has these columns, of their arrow_type.
    """
    if encoding == Encoding.ENCODING_ARROW:
        typed = to_wire_types(groups, {column.name: column for column in columns})
        field, payload = AggregateBatch.ARROW_FIELD_NUMBER, to_arrow_stream(typed)
    else:
        field, payload = AggregateBatch.ROWS_FIELD_NUMBER, to_aggregate_rows(groups, columns)
    batch = AggregateBatch(first_row=first_row, row_count=groups.num_rows, resume_token=resume_token)
    return _response(StreamAggregatesResponse.BATCH_FIELD_NUMBER, batch, field, payload)


def _response(
    field: int, batch: EventBatch | AggregateBatch, payload_field: int, payload: bytes | pa.Buffer
) -> Encoded:
    """A response with the batch, its checksum and its payload. That is copied once, where setting it in a
    message, and that in another, would copy it twice more."""
    batch.crc32c = google_crc32c.value(payload)
    head = batch.SerializeToString() + _prefix(payload_field, len(payload))
    message = b"".join((_prefix(field, len(head) + len(payload)), head, payload))
    return Encoded(message, batch.first_row, batch.row_count, len(payload), batch.crc32c)


def _prefix(field: int, length: int) -> bytes:
    """What goes before a length-delimited field (protobuf's encoding guide, "Message Structure")."""
    prefix = bytearray([field << 3 | WireType.LEN])
    while length > 0x7F:
        prefix.append(length & 0x7F | 0x80)
        length >>= 7
    prefix.append(length)
    return bytes(prefix)
