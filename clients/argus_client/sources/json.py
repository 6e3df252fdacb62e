"""Our own JSON exports, read back: documents whose `events` are the events."""

import re
from collections.abc import Generator
from typing import Any

import ijson

from argus_client.errors import SourceError
from argus_client.sources.inputs import HEAD_BYTES, Input
from argus_client.sources.objects import ObjectReader, shown
from argus_client.sources.source import EventSource
from argus_grpc.v1.event_pb2 import Event

# A document's first key; jq and others may have sorted them.
_BEGIN = re.compile(rb'\s*\{\s*"(exportedAt|query|totalEvents|events)"\s*:')
_EVENTS = re.compile(rb'"events"\s*:\s*\[')
_READ_BYTES = 256 * 1024


def looks_like(input: Input) -> bool:
    """Whether the content is a JSON export: a document that begins with one of its keys, and has the
    list of events as far as can be seen."""
    if not _BEGIN.match(input.head):
        return False
    return _EVENTS.search(input.head) is not None or len(input.head) == HEAD_BYTES


class _Object:
    """An object's members, for a key that comes twice to be seen."""

    def __init__(self) -> None:
        self.members: list[tuple[str, Any]] = []

    def __setitem__(self, key: str, value: Any) -> None:
        self.members.append((key, value))


class JsonSource(EventSource):
    """A JSON export. What the document says beside its events is passed over."""

    def __init__(self, input: Input, source: str | None) -> None:
        """source: for all events; None: each event's own, else the input's."""
        super().__init__(input)
        self._objects = ObjectReader(input.name, source, input.default_source)

    def _read(self) -> Generator[Event]:
        number = 0
        with self._input.open() as file:
            found = ijson.items(file, "events.item", map_type=_Object, use_float=True, buf_size=_READ_BYTES)
            try:
                for number, item in enumerate(found, 1):
                    place = f"event {number:,}"
                    if not isinstance(item, _Object):
                        self._objects.refuse(place, f"is not a JSON object but {shown(item)}")
                    yield self._objects.to_event(item.members, place)
            except (ijson.JSONError, UnicodeDecodeError) as error:
                raise SourceError(
                    f"{self.name} is cut off or no JSON, after event {number:,}: {_first_line(error)}"
                ) from error


def _first_line(error: Exception) -> str:
    """What an error says, without the piece of the document that follows; where that is not UTF-8, ijson says
    all of it as bytes."""
    said = error.args[0] if error.args and isinstance(error.args[0], bytes) else str(error).encode()
    return said.partition(b"\n")[0].decode(errors="replace")
