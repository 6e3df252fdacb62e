"""IngestEvents' request as bytes, with event messages: what is accepted is what protobuf reads of it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from random import Random
from typing import Any

from argus_grpc.access import UNRESTRICTED
from argus_grpc.errors import InvalidField
from argus_grpc.ingest.request import SmallRows, decode
from argus_grpc.v1.event_pb2 import Event, Events
from argus_grpc.v1.ingest_pb2 import IngestEventsRequest
from tests.fuzz.door import Attempt, Door
from tests.fuzz.mutation import mutate_bytes, mutate_message
from tests.fuzz.real import REAL_EVENTS, TEXTS
from tests.plain_messages import plain_messages

_MAX_TOLD_CHARACTERS = 2_000


@contextmanager
def _open() -> Iterator[Attempt]:
    yield _attempt


def _attempt(data: bytes) -> None:
    try:
        events, _ = decode(data, UNRESTRICTED)
        batch: Any = events.decode() if isinstance(events, SmallRows) else events
    except InvalidField as refusal:
        assert len(str(refusal)) < _MAX_TOLD_CHARACTERS, "a refusal of any length"
        return
    batch.validate(full=True)
    message = IngestEventsRequest.FromString(data)
    message.DiscardUnknownFields()
    if message.HasField("rows"):
        assert plain_messages(batch).SerializeToString() == message.rows.SerializeToString()


def _seeds() -> Iterator[bytes]:
    for events in ([REAL_EVENTS[0]], REAL_EVENTS):
        yield IngestEventsRequest(rows=Events(events=events)).SerializeToString()
    yield IngestEventsRequest(rows=Events(events=REAL_EVENTS), source="a", batch_id="b").SerializeToString()
    # A field that this version does not know, and fields in another order.
    event = REAL_EVENTS[0].SerializeToString() + b"\xfa\x3f\x03abc"
    yield IngestEventsRequest(rows=Events(events=[Event.FromString(event)])).SerializeToString()


def _mutate(random: Random, data: bytes, words: Sequence[bytes]) -> bytes:
    if random.random() < 0.5:
        return mutate_message(random, data, words, IngestEventsRequest)
    return mutate_bytes(random, data, words)


DOOR = Door(
    open=_open,
    seeds=_seeds,
    words=(*TEXTS, b"\x0a", b"\x12", b"\xff" * 9 + b"\x01", b"\x80\x00", b"\x88\x80\x00"),
    mutate=_mutate,
    follows=("argus_grpc.ingest.request", "argus_grpc.ingest.rows", "argus_grpc.ingest.checks"),
)
