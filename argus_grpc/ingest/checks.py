"""What every stored event must be, however it came."""

from collections.abc import Callable

import pyarrow as pa
import pyarrow.compute as pc

from argus_grpc.columns import COLUMNS, EVENT_TYPE_CODES, EVENT_TYPES_ALLOWED
from argus_grpc.errors import InvalidField

MAX_EVENT_BYTES = 3 * 1024 * 1024
"""The most that an event may take as an Event message: an exported event must fit a message."""

SEQUENCE_ALLOWED = "unset: the server gives it"

Path = Callable[[int, str], str]
"""How a request names a column of the event at a place, from 0; "" names the event."""

_REQUIRED = ("timestamp", "event_type", "source")


def check(events: pa.RecordBatch, path: Path) -> None:
    """Raises InvalidField, naming the first event and column that does not fit.

    `events` has stored columns; those that are missing are unset.
    """
    for name in _REQUIRED:
        if name not in events.schema.names:
            raise InvalidField(path(0, name), None, "a value")
        if events[name].null_count:
            raise InvalidField(path(pc.index(events[name].is_null(), True).as_py(), name), None, "a value")
    _check_all(events, "source", pc.not_equal(events["source"], ""), "text, not empty", path)
    fits = pc.is_in(events["event_type"], EVENT_TYPE_CODES)
    _check_all(events, "event_type", fits, EVENT_TYPES_ALLOWED, path)
    for column in COLUMNS:
        if column.minimum is not None and column.name in events.schema.names:
            fits = pc.greater_equal(events[column.name], column.minimum)
            _check_all(events, column.name, fits, f"{column.minimum} or more, or unset", path)


def too_large(place: int, size_bytes: int, path: Path) -> InvalidField:
    return InvalidField(path(place, ""), f"{size_bytes} bytes", f"at most {MAX_EVENT_BYTES} bytes an event")


def _check_all(events: pa.RecordBatch, name: str, fits: pa.BooleanArray, allowed: str, path: Path) -> None:
    place = pc.index(fits, False).as_py()
    if place >= 0:
        raise InvalidField(path(place, name), events[name][place].as_py(), allowed)
