"""How an event of a recording, as `jfr print --json` tells it, becomes an Event.

Which columns an event has is the contract's rule: those that its type carries, as the Event
descriptor says. Here is only where their values are. Fields differ between JDKs, so each may be
absent, and an absent one, or a JVM's own sign for absent, leaves the column unset.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from argus_client.times import parse_instant_ns
from argus_grpc.v1 import event_pb2
from argus_grpc.v1.event_pb2 import Event, EventType

Values = Mapping[str, Any]
_Reader = Callable[[Values], str | int | float | None]

_PRIMITIVES = MappingProxyType(
    {
        "Z": "boolean",
        "B": "byte",
        "C": "char",
        "S": "short",
        "I": "int",
        "J": "long",
        "F": "float",
        "D": "double",
    }
)
_DURATION = re.compile(r"PT(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)(?:\.(\d{1,9}))?S)?")
_UNKNOWN = "(unknown)"


def parse_java_duration_ns(text: str) -> int | None:
    """Nanoseconds of a java.time.Duration's text such as PT1H2M3.000000004S; None if negative,
    which no length of time is. Raises ValueError if it is not such a text."""
    match = _DURATION.fullmatch(text)
    if match is None:
        if text.startswith("PT") and "-" in text:
            return None
        raise ValueError(f"{text!r} is not a duration as Java writes it")
    hours, minutes, seconds, fraction = match.groups(default="0")
    whole = int(hours) * 3_600 + int(minutes) * 60 + int(seconds)
    return whole * 1_000_000_000 + int(fraction.ljust(9, "0"))


def java_class_name(internal: str) -> str:
    """A class as Java source names it: [Ljava/lang/String; is java.lang.String[], [[B byte[][]."""
    element = internal.lstrip("[")
    dimensions = len(internal) - len(element)
    if dimensions:
        element = _PRIMITIVES.get(element) or element.removeprefix("L").removesuffix(";")
    return element.replace("/", ".") + "[]" * dimensions


def stack_text(stack: Values | None) -> str | None:
    """A frame a line, innermost first: package.Class.method:LINE, the line left out where the
    recording does not have it (native methods, classes without debug information). A last line
    `...` says that the JVM cut the stack."""
    if not stack or not stack.get("frames"):
        return None
    lines = []
    for frame in stack["frames"]:
        line = _line_number(frame)
        name = f"{_class_of(frame) or _UNKNOWN}.{_at(frame, 'method', 'name') or _UNKNOWN}"
        lines.append(name if line is None else f"{name}:{line}")
    if stack.get("truncated"):
        lines.append("...")
    return "\n".join(lines)


def _at(values: Values, *path: str) -> Any:
    found: Any = values
    for key in path:
        if not isinstance(found, dict):
            return None
        found = found.get(key)
    return found


def _text(*path: str) -> _Reader:
    def read(values: Values) -> str | None:
        found = _at(values, *path)
        return found if isinstance(found, str) else None

    return read


def _amount(*path: str) -> _Reader:
    """A number that is not negative: the JVM's -1 stands for absent."""

    def read(values: Values) -> int | float | None:
        found = _at(values, *path)
        return found if isinstance(found, int | float) and found >= 0 else None

    return read


def _class_name(*path: str) -> _Reader:
    def read(values: Values) -> str | None:
        found = _at(values, *path, "name")
        if not isinstance(found, str):
            return None
        # A hidden class, such as a lambda's, is told by its Java name: Load$$Lambda/0x7f01.
        return found if _at(values, *path, "hidden") is True else java_class_name(found)

    return read


def _positive(number: Any) -> int | None:
    return number if isinstance(number, int) and number >= 1 else None


_class_of = _class_name("method", "type")


def _line_number(frame: Values) -> int | None:
    return _positive(frame.get("lineNumber"))


def _top_frame(values: Values) -> Values:
    frames = _at(values, "stackTrace", "frames")
    return frames[0] if frames else {}


def _thread(values: Values) -> Values:
    return values.get("sampledThread") or values.get("eventThread") or {}


def _thread_id(values: Values) -> int | None:
    # Virtual-thread events say themselves which thread they are about.
    return _positive(values.get("javaThreadId")) or _positive(_thread(values).get("javaThreadId"))


def _thread_name(values: Values) -> str | None:
    thread = _thread(values)
    if _positive(thread.get("javaThreadId")) != _thread_id(values):
        return None  # The thread that made the event is another one, as a submitter is.
    name = thread.get("javaName")
    return name if isinstance(name, str) else None


def _duration_ns(values: Values) -> int | None:
    text = values.get("duration")
    return parse_java_duration_ns(text) if isinstance(text, str) else None


def _heap_used(when: str) -> _Reader:
    used = _amount("heapUsed")
    return lambda values: used(values) if values.get("when") == when else None


def _first(*readers: _Reader) -> _Reader:
    return lambda values: next((found for r in readers if (found := r(values)) is not None), None)


def _constant(value: str | None) -> _Reader:
    return lambda _: value


_READERS: Mapping[str, _Reader] = MappingProxyType(
    {
        "thread_id": _thread_id,
        "thread_name": _thread_name,
        "carrier_thread": lambda values: _positive(_at(values, "carrierThread", "javaThreadId")),
        "duration_ns": _duration_ns,
        "stack_trace": lambda values: stack_text(values.get("stackTrace")),
        "exception_message": _text("exceptionMessage"),
        "pinned_reason": _text("pinnedReason"),
        "blocking_operation": _text("blockingOperation"),
        "gc_name": _text("name"),
        "gc_cause": _text("cause"),
        "heap_used_before_bytes": _heap_used("Before GC"),
        "heap_used_after_bytes": _heap_used("After GC"),
        "heap_committed_bytes": _amount("heapSpace", "committedSize"),
        "cpu_jvm_user": _amount("jvmUser"),
        "cpu_jvm_system": _amount("jvmSystem"),
        "cpu_machine_total": _amount("machineTotal"),
        "class_name": _first(_class_name("objectClass"), lambda values: _class_of(_top_frame(values))),
        "allocation_size_bytes": _first(_amount("allocationSize"), _amount("weight")),
        "tlab_size_bytes": _amount("tlabSize"),
        "metaspace_used_bytes": _amount("metaspace", "used"),
        "metaspace_committed_bytes": _amount("metaspace", "committed"),
        "metaspace_reserved_bytes": _amount("metaspace", "reserved"),
        "method_name": lambda values: _text("method", "name")(_top_frame(values)),
        "line_number": lambda values: _line_number(_top_frame(values)),
        "monitor_class": _class_name("monitorClass"),
    }
)


@dataclass(frozen=True)
class JfrType:
    """What becomes of a recording's events of one type."""

    event_type: "EventType.ValueType"
    columns: Mapping[str, _Reader]

    @property
    def has_stack(self) -> bool:
        return "stack_trace" in self.columns

    def to_event(self, values: Values, source: str) -> Event:
        """Raises KeyError or ValueError if the event has no time, or one that cannot be read."""
        columns: dict[str, Any] = {name: read(values) for name, read in self.columns.items()}
        timestamp = parse_instant_ns(values["startTime"])
        return Event(timestamp=timestamp, event_type=self.event_type, source=source, **columns)


def _jfr_type(event_type: "EventType.ValueType", **fixed: str | None) -> JfrType:
    """fixed: columns whose value the type alone tells, or, if None, cannot tell."""
    columns: dict[str, _Reader] = {}
    for field in Event.DESCRIPTOR.fields:
        if event_type not in field.GetOptions().Extensions[event_pb2.column].carried_by:
            continue
        if field.name in fixed:
            columns[field.name] = _constant(fixed[field.name])
        elif field.name in _READERS:
            columns[field.name] = _READERS[field.name]
    return JfrType(event_type, MappingProxyType(columns))


START, END = "jdk.VirtualThreadStart", "jdk.VirtualThreadEnd"

JFR_TYPES: Mapping[str, JfrType] = MappingProxyType(
    {
        START: _jfr_type(EventType.EVENT_TYPE_VIRTUAL_THREAD_START),
        # JDK 21 to 23 give it a duration, always 0; its thread's lifetime is found by pairing.
        END: _jfr_type(EventType.EVENT_TYPE_VIRTUAL_THREAD_END, duration_ns=None),
        "jdk.VirtualThreadPinned": _jfr_type(EventType.EVENT_TYPE_VIRTUAL_THREAD_PINNED),
        "jdk.VirtualThreadSubmitFailed": _jfr_type(EventType.EVENT_TYPE_VIRTUAL_THREAD_SUBMIT_FAILED),
        "jdk.GarbageCollection": _jfr_type(EventType.EVENT_TYPE_GC_PAUSE),
        "jdk.GCHeapSummary": _jfr_type(EventType.EVENT_TYPE_GC_HEAP_SUMMARY),
        "jdk.CPULoad": _jfr_type(EventType.EVENT_TYPE_CPU_LOAD),
        "jdk.ObjectAllocationInNewTLAB": _jfr_type(EventType.EVENT_TYPE_ALLOCATION),
        "jdk.ObjectAllocationOutsideTLAB": _jfr_type(EventType.EVENT_TYPE_ALLOCATION),
        "jdk.ObjectAllocationSample": _jfr_type(EventType.EVENT_TYPE_ALLOCATION),
        "jdk.MetaspaceSummary": _jfr_type(EventType.EVENT_TYPE_METASPACE_SUMMARY),
        "jdk.ExecutionSample": _jfr_type(EventType.EVENT_TYPE_EXECUTION_SAMPLE),
        "jdk.JavaMonitorEnter": _jfr_type(EventType.EVENT_TYPE_CONTENTION, contention_type="ENTER"),
        "jdk.JavaMonitorWait": _jfr_type(EventType.EVENT_TYPE_CONTENTION, contention_type="WAIT"),
    }
)
"""Every type that is kept, by its name in recordings."""
