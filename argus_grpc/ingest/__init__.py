"""Batches of events → the store, whole or not at all."""

from argus_grpc.errors import InvalidField
from argus_grpc.ingest import arrow, rows
from argus_grpc.ingest.checks import MAX_EVENT_BYTES, check
from argus_grpc.store import DuckDbStore
from argus_grpc.v1.event_pb2 import Events

__all__ = ["MAX_EVENT_BYTES", "ingest_arrow", "ingest_rows"]


def ingest_rows(store: DuckDbStore, events: Events) -> range:
    """Stores events and returns the sequences they were given; on return they are on disk.

    Raises InvalidField, naming the first event and field that does not fit; nothing is stored then.
    """
    if not events.events:
        raise InvalidField("rows.events", "an empty list", "at least one event")
    batch = rows.to_batch(events)
    check(batch, rows.path)
    return store.append(batch)


def ingest_arrow(store: DuckDbStore, stream: bytes) -> range:
    """Stores the events of an Arrow IPC stream, as ingest_rows does."""
    batch = arrow.to_batch(stream)
    check(batch, arrow.path)
    return store.append(batch)
