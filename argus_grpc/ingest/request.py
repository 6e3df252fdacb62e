"""The bytes of a request → checked events and the batch's id."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Self

import pyarrow as pa
from google.protobuf.message import DecodeError

from argus_grpc.access import UNRESTRICTED, Role
from argus_grpc.access.granted import check_events, check_source
from argus_grpc.columns import MAX_SOURCE_CHARACTERS
from argus_grpc.errors import InvalidField, NotPermitted
from argus_grpc.ingest import arrow, rows
from argus_grpc.ingest.checks import check
from argus_grpc.store import BatchId, Brought
from argus_grpc.v1.ingest_pb2 import IngestEventsRequest

MAX_BATCH_ID_CHARACTERS = 200


SMALL_BYTES = 64 * 1024
"""Up to this, decoding costs more by the request than by the event."""


def decode(request: bytes, role: Role) -> tuple[Brought, BatchId | None]:
    """The events, decoded or, of a small request, to be decoded with others; and the id, if there is one.

    Raises InvalidField, naming the first event and field that does not fit, and NotPermitted, naming the
    first that the role does not allow.
    """
    try:
        message = IngestEventsRequest.FromString(request)
    except DecodeError:
        allowed = "an IngestEventsRequest, its texts in UTF-8"
        raise InvalidField("payload", f"a message of {len(request)} bytes", allowed) from None
    batch_id = _batch_id(message)
    if batch_id:
        check_source(batch_id.source, role, "source")
    if message.HasField("arrow"):
        events = arrow.to_batch(message.arrow)
        check(events, arrow.path)
        check_events(events, role, arrow.path)
        return events, batch_id
    if not message.rows.events:
        raise InvalidField("rows.events", "an empty list", "at least one event")
    small = SmallRows(len(message.rows.events), message.rows.SerializeToString(), role)
    return small if len(request) <= SMALL_BYTES else small.decode(), batch_id


@dataclass(frozen=True)
class SmallRows:
    """Event messages as bytes, which are decoded with those of other requests."""

    num_rows: int
    events: bytes
    role: Role

    @property
    def nbytes(self) -> int:
        return len(self.events)

    def decode(self) -> pa.RecordBatch:
        batch = rows.to_batch(self.events)
        check(batch, rows.path)
        check_events(batch, self.role, rows.path)
        return batch

    @classmethod
    def decode_all(cls, waiting: Sequence[Self]) -> list[pa.RecordBatch | InvalidField | NotPermitted]:
        """The events of each, or what does not fit."""
        try:
            # Messages that follow one another are one with the events of all.
            num_rows = sum(small.num_rows for small in waiting)
            batch = cls(num_rows, b"".join(small.events for small in waiting), UNRESTRICTED).decode()
        except InvalidField as refusal:
            # Which of them it is about, and the place in that, is found out by halves.
            if len(waiting) == 1:
                return [refusal]
            half = len(waiting) // 2
            return cls.decode_all(waiting[:half]) + cls.decode_all(waiting[half:])
        ends = accumulate(small.num_rows for small in waiting)
        return [
            small._permitted(batch.slice(end - small.num_rows, small.num_rows))
            for end, small in zip(ends, waiting, strict=True)
        ]

    def _permitted(self, events: pa.RecordBatch) -> pa.RecordBatch | NotPermitted:
        try:
            check_events(events, self.role, rows.path)
        except NotPermitted as refusal:
            return refusal
        return events


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
