"""What a running Argus server's WebSocket sends, message by message.

Argus's own signs for absent (no key, 0, -1) leave the column unset; a ratio of CPU time may be 0.
Keys that are not listed here are passed over: they say the same in other units.
"""

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from argus_client.ingest import MAX_EVENT_BYTES
from argus_client.times import INT64_MAX, INT64_MIN, parse_instant_ns
from argus_grpc.v1.event_pb2 import Event, EventType

_VIRTUAL_THREAD_TYPES: Mapping[str, "EventType.ValueType"] = MappingProxyType(
    {
        "START": EventType.EVENT_TYPE_VIRTUAL_THREAD_START,
        "END": EventType.EVENT_TYPE_VIRTUAL_THREAD_END,
        "PINNED": EventType.EVENT_TYPE_VIRTUAL_THREAD_PINNED,
        "SUBMIT_FAILED": EventType.EVENT_TYPE_VIRTUAL_THREAD_SUBMIT_FAILED,
    }
)
_GC_TYPES: Mapping[str, "EventType.ValueType"] = MappingProxyType(
    {
        "GC_PAUSE": EventType.EVENT_TYPE_GC_PAUSE,
        "GC_HEAP_SUMMARY": EventType.EVENT_TYPE_GC_HEAP_SUMMARY,
    }
)
# Argus leaves control characters in names as they are, which strict JSON does not have.
_JSON = json.JSONDecoder(strict=False)
_STATE_UPDATE = "THREAD_STATE_UPDATE"
# As Argus begins them. They can be large, and come ten times a second.
_STATE_UPDATE_START = f'{{"type":"{_STATE_UPDATE}",'

# As Java writes an instant, but with any zone.
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:\d\d)", re.ASCII)
_MAX_SHOWN_CHARACTERS = 40


@dataclass(frozen=True, slots=True)
class Message:
    """What one message is: an event; a state update, which is none; or an oddity: what is odd."""

    event: Event | None = None
    oddity: str | None = None
    is_virtual_thread: bool = False
    """Whether its type is one of the virtual threads', however odd the rest is."""

    @property
    def is_state_update(self) -> bool:
        return self.event is None and self.oddity is None


class _Odd(ValueError):
    pass


def read_message(text: str, source: str) -> Message:
    """Reads one text message. Never raises for what is in it."""
    if text.startswith(_STATE_UPDATE_START):
        return Message()
    try:
        told = _JSON.decode(text)
    except (ValueError, RecursionError):
        return Message(oddity="not JSON")
    if not isinstance(told, dict):
        return Message(oddity="not a JSON object")
    name = told.get("type")
    if name == _STATE_UPDATE:
        return Message()
    is_virtual_thread = isinstance(name, str) and name in _VIRTUAL_THREAD_TYPES
    try:
        event = _to_event(told, name, source)
    except _Odd as odd:
        return Message(oddity=str(odd), is_virtual_thread=is_virtual_thread)
    return Message(event, is_virtual_thread=is_virtual_thread)


def _to_event(told: Mapping[str, Any], name: Any, source: str) -> Event:
    if not isinstance(name, str):
        raise _Odd("no type")
    readers = _READERS.get(name)
    if readers is None:
        shown = name if len(name) <= _MAX_SHOWN_CHARACTERS else f"{name[:_MAX_SHOWN_CHARACTERS]}…"
        raise _Odd(f"unknown type {json.dumps(shown)}")
    columns: dict[str, Any] = {}
    for column, (key, read) in readers.items():
        try:
            columns[column] = read(told.get(key))
        except ValueError:
            raise _Odd(f"{name} with {'an odd' if key in told else 'no'} {key}") from None
    event_type = _VIRTUAL_THREAD_TYPES.get(name) or (
        EventType.EVENT_TYPE_CPU_LOAD if name == "CPU_EVENT" else _gc_type(told)
    )
    try:
        event = Event(event_type=event_type, source=source, **columns)
    except ValueError:  # lone surrogates
        raise _Odd(f"{name} with text that is not Unicode") from None
    if event.ByteSize() > MAX_EVENT_BYTES:
        raise _Odd(f"{name} over {MAX_EVENT_BYTES:,} bytes")
    return event


def _gc_type(told: Mapping[str, Any]) -> "EventType.ValueType":
    said = told.get("eventType")
    if said is None:
        is_pause = any(told.get(key) for key in ("duration", "gcName", "gcCause"))
        return EventType.EVENT_TYPE_GC_PAUSE if is_pause else EventType.EVENT_TYPE_GC_HEAP_SUMMARY
    if not isinstance(said, str) or said not in _GC_TYPES:
        raise _Odd("GC_EVENT with an odd eventType")
    return _GC_TYPES[said]


def _instant(value: Any) -> int:
    if not isinstance(value, str) or not _INSTANT.fullmatch(value):
        raise ValueError
    return _whole(parse_instant_ns(value))


def _whole(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not INT64_MIN <= value <= INT64_MAX:
        raise ValueError
    return value


def _required_positive(value: Any) -> int | None:
    return number if (number := _whole(value)) > 0 else None


def _positive(value: Any) -> int | None:
    return None if value is None else _required_positive(value)


def _ratio(value: Any) -> float | None:
    if value is None:
        return None
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise ValueError
    try:
        number = float(value)
    except OverflowError:
        raise ValueError from None
    return number if number >= 0 and math.isfinite(number) else None


def _text(value: Any) -> str | None:
    if value is not None and not isinstance(value, str):
        raise ValueError
    return value


_Readers = Mapping[str, tuple[str, Callable[[Any], Any]]]
_TIME: _Readers = MappingProxyType({"timestamp": ("timestamp", _instant)})
_VIRTUAL_THREAD: _Readers = MappingProxyType(
    {
        **_TIME,
        "thread_id": ("threadId", _required_positive),
        "thread_name": ("threadName", _text),
        "carrier_thread": ("carrierThread", _positive),
        "duration_ns": ("duration", _positive),
        "stack_trace": ("stackTrace", _text),
    }
)
_READERS: Mapping[str, _Readers] = MappingProxyType(
    {
        **dict.fromkeys(_VIRTUAL_THREAD_TYPES, _VIRTUAL_THREAD),
        "GC_EVENT": MappingProxyType(
            {
                **_TIME,
                "duration_ns": ("duration", _positive),
                "gc_name": ("gcName", _text),
                "gc_cause": ("gcCause", _text),
                "heap_used_before_bytes": ("heapUsedBefore", _positive),
                "heap_used_after_bytes": ("heapUsedAfter", _positive),
                "heap_committed_bytes": ("heapCommitted", _positive),
            }
        ),
        "CPU_EVENT": MappingProxyType(
            {
                **_TIME,
                "cpu_jvm_user": ("jvmUser", _ratio),
                "cpu_jvm_system": ("jvmSystem", _ratio),
                "cpu_machine_total": ("machineTotal", _ratio),
            }
        ),
    }
)
"""Column by column: the message's key, and how its value is read, None where there is no such key."""
