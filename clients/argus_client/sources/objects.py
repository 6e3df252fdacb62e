"""An event as the JSON object that our exports have for it (RFC 8259), read back."""

import json
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, NoReturn

from google.protobuf.descriptor import FieldDescriptor

from argus_client.errors import SourceError
from argus_client.query import parse_event_type
from argus_client.times import parse_instant_ns
from argus_grpc.v1.event_pb2 import Event, EventType

_MAX_SHOWN_CHARACTERS = 100

Pairs = Iterable[tuple[str, Any]]
"""An object's members, in which a key may come twice."""


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("text")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError("Unicode text, in which surrogates come in pairs") from None
    return value


def whole_number(bits: int) -> Callable[[Any], int]:
    """A reader of signed integers of so many bits."""
    least, most = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1

    def parse(value: Any) -> int:
        # A bool is an int in Python.
        if type(value) is not int or not least <= value <= most:
            raise ValueError(f"a whole number from {least} to {most}")
        return value

    return parse


_int32, _int64 = whole_number(32), whole_number(64)


def _double(value: Any) -> float:
    allowed = "a number that 64 bits of floating point can hold"
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise ValueError(allowed)
    try:
        number = float(value)
    except OverflowError:
        raise ValueError(allowed) from None
    if number in (float("inf"), float("-inf")):
        raise ValueError(allowed)
    return number


def parse_instant(value: Any) -> int:
    """Nanoseconds since the epoch, of them or of text. Raises ValueError with what is allowed."""
    allowed = (
        "an RFC 3339 time such as 2024-01-31T08:30:00.5Z, 1677-09-21 to 2262-04-11, or whole nanoseconds"
    )
    if isinstance(value, str):
        try:
            value = parse_instant_ns(value)
        except ValueError:
            raise ValueError(allowed) from None
    try:
        return _int64(value)
    except ValueError:
        raise ValueError(allowed) from None


def parse_event_type_code(value: Any) -> "EventType.ValueType":
    """The code of an event type's name. Raises ValueError with what is allowed."""
    try:
        return parse_event_type(value if isinstance(value, str) else str(value))
    except ValueError as error:
        raise ValueError(str(error).partition("allowed: ")[2]) from None


_PARSERS: Mapping[int, Callable[[Any], Any]] = MappingProxyType(
    {
        FieldDescriptor.TYPE_STRING: _text,
        FieldDescriptor.TYPE_INT32: _int32,
        FieldDescriptor.TYPE_INT64: _int64,
        FieldDescriptor.TYPE_DOUBLE: _double,
        FieldDescriptor.TYPE_ENUM: parse_event_type_code,
        # The only fixed-width integer of the message is its instant, as in OTLP.
        FieldDescriptor.TYPE_SFIXED64: parse_instant,
    }
)
FIELDS: Mapping[str, tuple[str, Callable[[Any], Any]]] = MappingProxyType(
    {field.json_name: (field.name, _PARSERS[field.type]) for field in Event.DESCRIPTOR.fields}
)
"""The name and the reader of each member, by its key."""


class ObjectReader:
    """Makes events of objects with the Event message's JSON keys. A null is as good as no key, and a
    sequence is dropped, since the server gives events their own.

    source: for all events; None: each event's own, else default_source.
    """

    def __init__(self, name: str, source: str | None, default_source: str) -> None:
        self._name = name
        self._source = source
        self._default_source = default_source

    def to_event(self, pairs: Pairs, place: str) -> Event:
        """Raises SourceError, which tells the place."""
        values: dict[str, Any] = {}
        seen: set[str] = set()
        for key, value in pairs:
            if key not in FIELDS:
                known = ", ".join(FIELDS)
                self.refuse(place, f"has the key {shown(key)}, which no event has; keys: {known}")
            if key in seen:
                self.refuse(place, f"has the key {shown(key)} twice")
            seen.add(key)
            name, parse = FIELDS[key]
            if value is None or name == "sequence":
                continue
            try:
                values[name] = parse(value)
            except ValueError as error:
                self.refuse(place, f"{key}: {shown(value)} is not allowed; allowed: {error}", error)
        for key in ("timestamp", "eventType"):
            if FIELDS[key][0] not in values:
                self.refuse(place, f"has no {key}, which every event needs")
        if self._source is not None:
            values["source"] = self._source
        if not values.setdefault("source", self._default_source):
            self.refuse(place, 'source: "" is not allowed; allowed: text that is not empty')
        return Event(**values)

    def refuse(self, place: str, what: str, cause: Exception | None = None) -> NoReturn:
        raise SourceError(f"{self._name}, {place}: {what}") from cause


def shown(value: Any) -> str:
    """A value as JSON, which shows a lone surrogate as its escape, cut to a size for messages."""
    try:
        text = json.dumps(value, default=vars)
    except RecursionError:
        return "[… in itself too deeply to be shown …]"
    if len(text) > _MAX_SHOWN_CHARACTERS:
        text = f"{text[:_MAX_SHOWN_CHARACTERS]}… ({len(text):,} characters)"
    return text
