"""Our own JSON Lines exports, read back."""

import json
import re
from collections.abc import Generator
from typing import NoReturn

from argus_client.sources.inputs import Input
from argus_client.sources.objects import FIELDS, ObjectReader, shown
from argus_client.sources.source import EventSource
from argus_grpc.v1.event_pb2 import Event

MAX_LINE_BYTES = 32 * 1024 * 1024
"""The longest line that is read: an event of the most bytes that a server takes fits, whatever
JSON makes of its text."""

_METADATA_KEY = "_metadata"
_FIRST_KEY = re.compile(rb'\s*\{[ \t]*(?:"(?P<key>\w*)"|["}])')
_FIRST_KEYS = frozenset(key.encode() for key in (_METADATA_KEY, *FIELDS))


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON; write null")


# Objects as tuples of pairs, for a key that comes twice to be seen.
_DECODER = json.JSONDecoder(object_pairs_hook=tuple, parse_constant=_refuse_constant)


def looks_like(input: Input) -> bool:
    """Whether the content is JSON Lines of ours: it begins with an object whose first key is one that
    events have, or metadata. If the name says so, any object will do, and nothing: an export of no
    events."""
    is_named_so = input.ending in (".jsonl", ".ndjson")
    if not input.head:
        return is_named_so
    first_key = _FIRST_KEY.match(input.head)
    if first_key is None:
        return False
    return is_named_so or first_key["key"] in _FIRST_KEYS


class JsonLinesSource(EventSource):
    """A JSON Lines export: an object a line. A first line {"_metadata": {…}} and empty lines are passed
    over."""

    def __init__(self, input: Input, source: str | None) -> None:
        """source: for all events; None: each event's own, else the input's."""
        super().__init__(input)
        self._objects = ObjectReader(input.name, source, input.default_source)

    def _read(self) -> Generator[Event]:
        number = 0
        with self._input.open() as file:
            while line := file.readline(MAX_LINE_BYTES + 1):
                number += 1
                if (event := self._parse(line, number)) is not None:
                    yield event

    def _parse(self, line: bytes, number: int) -> Event | None:
        place = f"line {number:,}"
        refuse = self._objects.refuse
        if len(line) > MAX_LINE_BYTES:
            refuse(place, f"is longer than {MAX_LINE_BYTES:,} bytes, so it is not one event")
        if not line.strip():
            return None
        try:
            pairs = _DECODER.decode(line.decode())
        except UnicodeDecodeError as error:
            refuse(place, f"is not UTF-8 at byte {error.start + 1}", error)
        except json.JSONDecodeError as error:
            refuse(place, f"is not JSON at column {error.colno}: {error.msg}", error)
        except (ValueError, RecursionError) as error:
            refuse(place, f"is not a JSON object: {error}", error)
        if not isinstance(pairs, tuple):
            refuse(place, f"is not a JSON object but {shown(pairs)}")
        if number == 1 and [key for key, _ in pairs] == [_METADATA_KEY]:
            return None
        return self._objects.to_event(pairs, place)
