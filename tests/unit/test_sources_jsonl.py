"""Our own JSON Lines exports read back, written here by Python's json."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from argus_client.errors import SourceError
from argus_client.sources import jsonl, open_source
from argus_client.times import format_instant
from argus_grpc.v1.event_pb2 import Event, EventType

INT32_MAX, INT64_MIN, INT64_MAX = 2**31 - 1, -(2**63), 2**63 - 1
LEAST = {"timestamp": 5, "eventType": "START"}

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes lines: bytes as they are, anything else as JSON."""

    def write_lines(*lines: Any) -> Path:
        path = tmp_path / "events.jsonl"
        path.write_bytes(
            b"".join(
                (line if isinstance(line, bytes) else json.dumps(line).encode()) + b"\n" for line in lines
            )
        )
        return path

    return write_lines


def read(path: Path, source: str | None = None) -> list[Event]:
    with open_source(path, source) as events:
        read_events = list(events)
        assert events.fraction == 1
        assert not events.skipped
    return read_events


def test_the_design_s_example(write: Write) -> None:
    common = {"source": "example", "threadId": 123, "threadName": "VT-1", "carrierThread": 1}
    path = write(
        {"timestamp": "2024-01-01T00:00:00.123Z", "eventType": "VIRTUAL_THREAD_START", **common},
        {
            "timestamp": "2024-01-01T00:00:00.456Z",
            "eventType": "VIRTUAL_THREAD_END",
            **common,
            "durationNs": 333_000_000,
        },
    )
    fields = {"source": "example", "thread_id": 123, "thread_name": "VT-1", "carrier_thread": 1}
    assert read(path) == [
        Event(timestamp=1_704_067_200_123_000_000, event_type=1, **fields),  # type: ignore[arg-type]
        Event(timestamp=1_704_067_200_456_000_000, event_type=2, duration_ns=333_000_000, **fields),  # type: ignore[arg-type]
    ]


def json_values(field_type: int) -> st.SearchStrategy[Any]:
    by_type: dict[int, st.SearchStrategy[Any]] = {
        Event.DESCRIPTOR.fields_by_name["source"].type: st.text(st.characters(exclude_categories=["Cs"])),
        Event.DESCRIPTOR.fields_by_name["thread_id"].type: st.integers(INT64_MIN, INT64_MAX),
        Event.DESCRIPTOR.fields_by_name["timestamp"].type: st.integers(INT64_MIN, INT64_MAX),
        Event.DESCRIPTOR.fields_by_name["line_number"].type: st.integers(-INT32_MAX - 1, INT32_MAX),
        Event.DESCRIPTOR.fields_by_name["cpu_jvm_user"].type: st.floats(),
        Event.DESCRIPTOR.fields_by_name["event_type"].type: st.sampled_from(EventType.values()[1:]),
    }
    return by_type[field_type]


@st.composite
def events(draw: st.DrawFn) -> Event:
    fields = [f for f in Event.DESCRIPTOR.fields if f.name not in ("sequence", "timestamp", "event_type")]
    chosen = draw(st.sets(st.sampled_from(fields)))
    values = {f.name: draw(json_values(f.type)) for f in chosen}
    values["source"] = draw(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
    values["timestamp"] = draw(st.integers(INT64_MIN, INT64_MAX))
    return Event(event_type=draw(st.sampled_from(EventType.values()[1:])), **values)


def to_json(event: Event, number: int) -> dict[str, Any]:
    """As an export has it: names of types, times as text, NaN and infinities as null."""
    told: dict[str, Any] = {"sequence": number}
    for field, value in event.ListFields():
        told[field.json_name] = None if isinstance(value, float) and not math.isfinite(value) else value
    told["timestamp"] = format_instant(event.timestamp)
    told["eventType"] = EventType.Name(event.event_type).removeprefix("EVENT_TYPE_")
    return told


@settings(max_examples=100, deadline=None)
@given(written=st.lists(events(), min_size=1, max_size=4), escape=st.booleans())
def test_any_event_comes_back_equal(
    written: list[Event], escape: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("jsonl") / "any.jsonl"
    lines = [json.dumps(to_json(event, n), ensure_ascii=escape) for n, event in enumerate(written, 1)]
    path.write_text("\n".join(lines), encoding="utf-8", newline="")
    for event in written:
        for field, value in event.ListFields():
            if isinstance(value, float) and not math.isfinite(value):
                event.ClearField(field.name)  # type: ignore[arg-type]
    assert read(path) == written


def test_a_double_comes_back_to_the_last_bit(write: Write) -> None:
    values = [0.1, 5e-324, 1.7976931348623157e308, -0.0, 1, 2**53 + 1]
    got = read(write(*({**LEAST, "cpuJvmUser": value} for value in values)))
    assert [math.copysign(1, e.cpu_jvm_user) * abs(e.cpu_jvm_user) for e in got] == [float(v) for v in values]
    assert math.copysign(1, got[3].cpu_jvm_user) == -1


@pytest.mark.parametrize("name", ["PINNED", "pinned", "VIRTUAL_THREAD_PINNED", "Virtual_Thread_Pinned"])
def test_types_by_long_and_short_name(name: str, write: Write) -> None:
    (event,) = read(write({**LEAST, "eventType": name}))
    assert event.event_type == EventType.EVENT_TYPE_VIRTUAL_THREAD_PINNED


def test_what_is_passed_over(write: Write) -> None:
    path = write(
        {"_metadata": {"rows": 1, "query": {}}}, b"", {**LEAST, "sequence": 77, "threadId": None}, b"  \r"
    )
    (event,) = read(path)
    assert event == Event(timestamp=5, event_type=1, source="events")  # type: ignore[arg-type]


def test_empty_text_is_not_absent(write: Write) -> None:
    empty, absent = read(write({**LEAST, "threadName": ""}, {**LEAST, "threadName": None}))
    assert empty.HasField("thread_name")
    assert not absent.HasField("thread_name")


def test_whose_events_they_are(write: Write) -> None:
    path = write({**LEAST, "source": "a"}, LEAST)
    assert [event.source for event in read(path)] == ["a", "events"]
    assert [event.source for event in read(path, "b")] == ["b", "b"]


def test_an_export_of_no_events(write: Write) -> None:
    assert read(write()) == []
    assert read(write({"_metadata": {}})) == []


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (b'{"timestamp": 5, "eventType": "START"', r"is not JSON at column \d+: Expecting"),
        (b'{"timestamp": 5} {}', r"is not JSON at column \d+: Extra data"),
        (b"[1, 2]", r"is not a JSON object but \[1, 2\]"),
        (b"null", "is not a JSON object but null"),
        (b'{"cpuJvmUser": NaN}', "is not a JSON object: NaN is not JSON; write null"),
        (b'{"cpuJvmUser": -Infinity}', "is not a JSON object: -Infinity is not JSON"),
        (b"[" * 100_000, "is not a JSON object: "),
        (b'{"threadId": ' + b"9" * 5_000 + b"}", "is not a JSON object: "),
        (b'{"threadName": "\xff"}', "is not UTF-8 at byte 17"),
        (b'{"_metadata": {}}', 'has the key "_metadata", which no event has; keys: sequence, timestamp, '),
        (b'{"thread_id": 1}', 'has the key "thread_id", which no event has; .*threadId'),
        (b'{"timestamp": 5, "timestamp": 6}', 'has the key "timestamp" twice'),
        ({"eventType": "START"}, "has no timestamp, which every event needs"),
        ({"timestamp": None, "eventType": "START"}, "has no timestamp"),
        ({"timestamp": 5}, "has no eventType"),
        ({**LEAST, "source": ""}, 'source: "" is not allowed; allowed: text that is not empty'),
        (
            {"eventType": "NOPE"},
            'eventType: "NOPE" is not allowed; allowed: START, END, PINNED, .*CONTENTION',
        ),
        ({"eventType": "UNSPECIFIED"}, 'eventType: "UNSPECIFIED" is not allowed'),
        ({"eventType": 1}, "eventType: 1 is not allowed"),
        ({"timestamp": "yesterday"}, 'timestamp: "yesterday" is not allowed; allowed: an RFC 3339 time'),
        ({"timestamp": "2300-01-01T00:00:00Z"}, "timestamp: .* is not allowed; .* 1677-09-21 to 2262-04-11"),
        ({"timestamp": 1.5}, "timestamp: 1.5 is not allowed"),
        ({"timestamp": True}, "timestamp: true is not allowed"),
        (
            {"threadId": "7"},
            'threadId: "7" is not allowed; allowed: a whole number from -9223372036854775808 to',
        ),
        ({"threadId": 7.0}, "threadId: 7.0 is not allowed"),
        ({"threadId": False}, "threadId: false is not allowed"),
        ({"threadId": 2**63}, "threadId: 9223372036854775808 is not allowed"),
        ({"lineNumber": 2**31}, "lineNumber: 2147483648 is not allowed; .* from -2147483648 to 2147483647"),
        ({"threadName": 7}, "threadName: 7 is not allowed; allowed: text"),
        ({"threadName": ["a"]}, r'threadName: \["a"\] is not allowed'),
        ({"threadName": {"a": 1}}, "threadName: .* is not allowed"),
        ({"threadName": "x\ud800"}, r'threadName: "x\\ud800" is not allowed; .* surrogates come in pairs'),
        ({"stackTrace": "\udc00" * 500}, r"stackTrace: .*… \(3,002 characters\) is not allowed"),
        ({"cpuJvmUser": "0.5"}, 'cpuJvmUser: "0.5" is not allowed; allowed: a number'),
        ({"cpuJvmUser": True}, "cpuJvmUser: true is not allowed"),
        (b'{"cpuJvmUser": 1e999}', "cpuJvmUser: Infinity is not allowed"),
        ({"cpuJvmUser": 10**400}, r"cpuJvmUser: 10+… \(401 characters\) is not allowed"),
    ],
)
def test_refusals_name_file_line_key_and_value(line: Any, told: str, write: Write) -> None:
    path = write(LEAST, line, LEAST)
    with open_source(path) as source:
        iterator = iter(source)
        next(iterator)
        with pytest.raises(SourceError, match=rf"events\.jsonl, line 2: {told}"):
            next(iterator)


def test_a_line_without_end(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonl, "MAX_LINE_BYTES", 100)
    path = write(LEAST, {**LEAST, "threadName": "x" * 100})
    with pytest.raises(SourceError, match="line 2: is longer than 100 bytes, so it is not one event"):
        read(path)
