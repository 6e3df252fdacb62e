"""The bytes of a request → checked events and the batch's id."""

import pyarrow as pa
from google.protobuf.message import DecodeError

from argus_grpc.errors import InvalidField
from argus_grpc.ingest import arrow, rows
from argus_grpc.ingest.checks import check
from argus_grpc.store import BatchId
from argus_grpc.v1.ingest_pb2 import IngestEventsRequest

MAX_SOURCE_CHARACTERS = 1_000
MAX_BATCH_ID_CHARACTERS = 200


def decode(request: bytes) -> tuple[pa.RecordBatch, BatchId | None]:
    """The events as stored columns, those that are set in any event; and the id, if there is one.

    Raises InvalidField, naming the first event and field that does not fit.
    """
    try:
        message = IngestEventsRequest.FromString(request)
    except DecodeError:
        allowed = "an IngestEventsRequest, its texts in UTF-8"
        raise InvalidField("payload", f"a message of {len(request)} bytes", allowed) from None
    batch_id = _batch_id(message)
    if message.HasField("arrow"):
        events = arrow.to_batch(message.arrow)
        check(events, arrow.path)
    else:
        if not message.rows.events:
            raise InvalidField("rows.events", "an empty list", "at least one event")
        events = rows.to_batch(message.rows)
        check(events, rows.path)
    return events, batch_id


def _batch_id(message: IngestEventsRequest) -> BatchId | None:
    for field, value, limit in (
        ("source", message.source, MAX_SOURCE_CHARACTERS),
        ("batch_id", message.batch_id, MAX_BATCH_ID_CHARACTERS),
    ):
        if len(value) > limit:
            raise InvalidField(field, value, f"at most {limit} characters")
    if message.source and not message.batch_id:
        raise InvalidField("batch_id", None, "a value, since source is set; or neither")
    if message.batch_id and not message.source:
        raise InvalidField("source", None, "a value, since batch_id is set; or neither")
    return BatchId(message.source, message.batch_id) if message.batch_id else None
