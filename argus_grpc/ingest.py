"""Batches of Event messages → the store, whole or not at all."""

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from argus_grpc.columns import COLUMNS, EVENT_TYPE_CODES, EVENT_TYPES_ALLOWED
from argus_grpc.errors import InvalidField
from argus_grpc.store import DuckDbStore
from argus_grpc.v1.event_pb2 import Events

MAX_EVENT_BYTES = 3 * 1024 * 1024

_GIVEN_COLUMNS = tuple(column for column in COLUMNS if column.name != "sequence")
_REQUIRED = ("timestamp", "event_type", "source")


def ingest_rows(store: DuckDbStore, rows: Events) -> range:
    """Stores events and returns the sequences they were given; on return they are on disk.

    Raises InvalidField, naming the first event and field that does not fit; nothing is stored then.
    """
    if not rows.events:
        raise InvalidField("rows.events", "an empty list", "at least one event")
    batch = _to_batch(rows)
    _check(batch)
    return store.append(batch)


def _to_batch(rows: Events) -> pa.RecordBatch:
    count = len(rows.events)
    values: dict[str, list[Any]] = {column.name: [None] * count for column in _GIVEN_COLUMNS}
    for place, event in enumerate(rows.events):
        if event.HasField("sequence"):
            raise InvalidField(_path(place, "sequence"), event.sequence, "unset: the server gives it")
        if (size := event.ByteSize()) > MAX_EVENT_BYTES:
            raise InvalidField(_path(place), f"{size} bytes", f"at most {MAX_EVENT_BYTES} bytes an event")
        for field, value in event.ListFields():
            values[field.name][place] = value
    arrays = [pa.array(values[column.name], column.arrow_type) for column in _GIVEN_COLUMNS]
    return pa.RecordBatch.from_arrays(arrays, names=[column.name for column in _GIVEN_COLUMNS])


def _check(batch: pa.RecordBatch) -> None:
    for name in _REQUIRED:
        if batch[name].null_count:
            raise InvalidField(_path(pc.index(batch[name].is_null(), True).as_py(), name), None, "a value")
    _check_all(batch, "source", pc.not_equal(batch["source"], ""), "text, not empty")
    _check_all(batch, "event_type", pc.is_in(batch["event_type"], EVENT_TYPE_CODES), EVENT_TYPES_ALLOWED)
    for column in _GIVEN_COLUMNS:
        if column.minimum is not None:
            fits = pc.greater_equal(batch[column.name], column.minimum)
            _check_all(batch, column.name, fits, f"{column.minimum} or more, or unset")


def _check_all(batch: pa.RecordBatch, name: str, fits: pa.BooleanArray, allowed: str) -> None:
    place = pc.index(fits, False).as_py()
    if place >= 0:
        raise InvalidField(_path(place, name), batch[name][place].as_py(), allowed)


def _path(place: int, field: str = "") -> str:
    return f"rows.events[{place}]{'.' if field else ''}{field}"
