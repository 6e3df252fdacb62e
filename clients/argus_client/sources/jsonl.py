"""Our own JSON Lines exports, read back."""

import json
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NoReturn

from google.protobuf.descriptor import FieldDescriptor

from argus_client.errors import SourceError
from argus_client.query import parse_event_type
from argus_client.sources.source import EventSource
from argus_client.times import INT64_MAX, INT64_MIN, parse_instant_ns
from argus_grpc.v1.event_pb2 import Event, EventType

MAX_LINE_BYTES = 32 * 1024 * 1024
"""The longest line that is read: an event of the most bytes that a server takes fits, whatever
JSON makes of its text."""

_INT32_MIN, _INT32_MAX = -(2**31), 2**31 - 1
_METADATA_KEY = "_metadata"
_MAX_SHOWN_CHARACTERS = 100


def looks_like(head: bytes, path: Path) -> bool:
    """Whether a file with these first bytes is JSON Lines: it begins with an object's first key.
    An empty one is the export of no events, if its name says so."""
    if not head:
        return path.suffix.lower() == ".jsonl"
    start = head.lstrip()
    return start.startswith(b"{") and start[1:].lstrip(b" \t")[:1] in (b'"', b"}")


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("text")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError("Unicode text, in which surrogates come in pairs") from None
    return value


def _whole(value: Any, least: int, most: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise ValueError(f"a whole number from {least} to {most}")
    return value


def _int64(value: Any) -> int:
    return _whole(value, INT64_MIN, INT64_MAX)


def _int32(value: Any) -> int:
    return _whole(value, _INT32_MIN, _INT32_MAX)


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


def _instant(value: Any) -> int:
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


def _event_type(value: Any) -> "EventType.ValueType":
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
        FieldDescriptor.TYPE_ENUM: _event_type,
        # The only fixed-width integer of the message is its instant, as in OTLP.
        FieldDescriptor.TYPE_SFIXED64: _instant,
    }
)
_FIELDS: Mapping[str, tuple[str, Callable[[Any], Any]]] = MappingProxyType(
    {field.json_name: (field.name, _PARSERS[field.type]) for field in Event.DESCRIPTOR.fields}
)


class JsonLinesSource(EventSource):
    """A JSON Lines export: an object a line with the Event message's JSON keys.

    A first line {"_metadata": {…}} and empty lines are passed over, a null is as good as no key,
    and a sequence is dropped, since the server gives events their own. Its fraction goes by bytes.
    """

    def __init__(self, path: Path, source: str | None, default_source: str) -> None:
        """source: for all events; None: each event's own, else default_source."""
        super().__init__(path)
        self._source = source
        self._default_source = default_source
        self._read_bytes = 0

    @property
    def fraction(self) -> float:
        return min(self._read_bytes / self.size_bytes, 1.0) if self.size_bytes else 1.0

    def _read(self) -> Generator[Event]:
        self._read_bytes = 0
        number = 0
        try:
            with self.path.open("rb") as file:
                while line := file.readline(MAX_LINE_BYTES + 1):
                    number += 1
                    self._read_bytes += len(line)
                    if (event := self._parse(line, number)) is not None:
                        yield event
        except OSError as error:
            raise SourceError(f"{self.path} cannot be read: {error.strerror}") from error

    def _parse(self, line: bytes, number: int) -> Event | None:
        if len(line) > MAX_LINE_BYTES:
            self._refuse(number, f"is longer than {MAX_LINE_BYTES:,} bytes, so it is not one event")
        if not line.strip():
            return None
        try:
            # Objects as tuples of pairs, for a key that comes twice to be seen.
            pairs = json.loads(line.decode(), object_pairs_hook=tuple, parse_constant=_refuse_constant)
        except UnicodeDecodeError as error:
            self._refuse(number, f"is not UTF-8 at byte {error.start + 1}", error)
        except json.JSONDecodeError as error:
            self._refuse(number, f"is not JSON at column {error.colno}: {error.msg}", error)
        except (ValueError, RecursionError) as error:
            self._refuse(number, f"is not a JSON object: {error}", error)
        if not isinstance(pairs, tuple):
            self._refuse(number, f"is not a JSON object but {_shown(pairs)}")
        if number == 1 and [key for key, _ in pairs] == [_METADATA_KEY]:
            return None
        return self._to_event(pairs, number)

    def _to_event(self, pairs: tuple[tuple[str, Any], ...], number: int) -> Event:
        values: dict[str, Any] = {}
        seen: set[str] = set()
        for key, value in pairs:
            if key not in _FIELDS:
                self._refuse(
                    number, f"has the key {_shown(key)}, which no event has; keys: {', '.join(_FIELDS)}"
                )
            if key in seen:
                self._refuse(number, f"has the key {_shown(key)} twice")
            seen.add(key)
            name, parse = _FIELDS[key]
            if value is None or name == "sequence":
                continue
            try:
                values[name] = parse(value)
            except ValueError as error:
                self._refuse(number, f"{key}: {_shown(value)} is not allowed; allowed: {error}", error)
        for key in ("timestamp", "eventType"):
            if _FIELDS[key][0] not in values:
                self._refuse(number, f"has no {key}, which every event needs")
        if self._source is not None:
            values["source"] = self._source
        if not values.setdefault("source", self._default_source):
            self._refuse(number, 'source: "" is not allowed; allowed: text that is not empty')
        return Event(**values)

    def _refuse(self, number: int, what: str, cause: Exception | None = None) -> NoReturn:
        raise SourceError(f"{self.path}, line {number:,}: {what}") from cause


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON; write null")


def _shown(value: Any) -> str:
    """A value as JSON, which shows a lone surrogate as its escape, cut to a size for messages."""
    text = json.dumps(value)
    if len(text) > _MAX_SHOWN_CHARACTERS:
        text = f"{text[:_MAX_SHOWN_CHARACTERS]}… ({len(text):,} characters)"
    return text
