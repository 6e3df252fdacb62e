"""What an Argus server's WebSocket sends, message by message."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argus_client.collect.argus_messages import read_message
from argus_grpc.v1.event_pb2 import Event, EventType

AT = "2024-01-01T00:00:00.123456789Z"
AT_NS = 1_704_067_200_123_456_789
START: dict[str, Any] = {"type": "START", "threadId": 7, "timestamp": AT}
GC: dict[str, Any] = {"type": "GC_EVENT", "eventType": "GC_PAUSE", "timestamp": AT}
CPU: dict[str, Any] = {"type": "CPU_EVENT", "timestamp": AT}


def columns(told: dict[str, Any]) -> dict[str, Any]:
    event = read_message(json.dumps(told), "jvm").event
    assert event is not None
    assert event.source == "jvm"
    return {field.name: value for field, value in event.ListFields() if field.name != "source"}


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("START", EventType.EVENT_TYPE_VIRTUAL_THREAD_START),
        ("END", EventType.EVENT_TYPE_VIRTUAL_THREAD_END),
        ("PINNED", EventType.EVENT_TYPE_VIRTUAL_THREAD_PINNED),
        ("SUBMIT_FAILED", EventType.EVENT_TYPE_VIRTUAL_THREAD_SUBMIT_FAILED),
    ],
)
def test_virtual_threads(name: str, code: int) -> None:
    told = START | {
        "type": name,
        "threadName": "order-1",
        "carrierThread": 22,
        "duration": 333,
        "stackTrace": "a.B.c:1\nd.E.f:2",
    }
    assert columns(told) == {
        "event_type": code,
        "timestamp": AT_NS,
        "thread_id": 7,
        "thread_name": "order-1",
        "carrier_thread": 22,
        "duration_ns": 333,
        "stack_trace": "a.B.c:1\nd.E.f:2",
    }


def test_argus_s_signs_for_absent() -> None:
    told = START | {"threadId": -1, "carrierThread": 0, "duration": -1, "stackTrace": None, "threadName": ""}
    assert columns(told) == {"event_type": 1, "timestamp": AT_NS, "thread_name": ""}
    assert columns(CPU | {"jvmUser": -1, "jvmSystem": 0, "machineTotal": float("nan")}) == {
        "event_type": EventType.EVENT_TYPE_CPU_LOAD,
        "timestamp": AT_NS,
        "cpu_jvm_system": 0.0,
    }


def test_a_collection_with_all_that_argus_says() -> None:
    told = GC | {"duration": 5, "durationMs": 0.000005, "gcName": "G1New", "gcCause": "Pause"}
    told |= {"heapUsedBefore": 30, "heapUsedAfter": 20, "heapCommitted": 40}
    assert columns(told) == {
        "event_type": EventType.EVENT_TYPE_GC_PAUSE,
        "timestamp": AT_NS,
        "duration_ns": 5,
        "gc_name": "G1New",
        "gc_cause": "Pause",
        "heap_used_before_bytes": 30,
        "heap_used_after_bytes": 20,
        "heap_committed_bytes": 40,
    }


@pytest.mark.parametrize(
    ("told", "code"),
    [
        (GC | {"eventType": "GC_HEAP_SUMMARY", "heapUsedAfter": 3}, EventType.EVENT_TYPE_GC_HEAP_SUMMARY),
        ({"type": "GC_EVENT", "timestamp": AT, "heapUsedAfter": 3}, EventType.EVENT_TYPE_GC_HEAP_SUMMARY),
        (
            {"type": "GC_EVENT", "timestamp": AT, "heapUsedAfter": 3, "gcName": "G1"},
            EventType.EVENT_TYPE_GC_PAUSE,
        ),
    ],
)
def test_kinds_of_collection_events(told: dict[str, Any], code: int) -> None:
    assert columns(told)["event_type"] == code


def test_cpu_load_of_a_real_server() -> None:
    text = (
        '{"type":"CPU_EVENT","timestamp":"2024-01-01T00:00:00Z","jvmUser":0.1250,"jvmSystem":0.0100,'
        '"jvmTotal":0.1350,"machineTotal":0.5000,"jvmPercent":13.50,"machinePercent":50.00}'
    )
    assert read_message(text, "jvm").event == Event(
        event_type=EventType.EVENT_TYPE_CPU_LOAD,
        timestamp=1_704_067_200_000_000_000,
        source="jvm",
        cpu_jvm_user=0.125,
        cpu_jvm_system=0.01,
        cpu_machine_total=0.5,
    )


@given(st.integers(-(2**63), 2**63 - 1), st.integers(0, 9))
def test_instants_to_the_nanosecond(seconds: int, digits: int) -> None:
    fraction = abs(seconds) % 10**digits
    second = f"{seconds % 60:02}"
    text = f"2024-02-29T23:59:{second}" + (f".{fraction:0{digits}}" if digits else "") + "Z"
    expected = 1_709_251_140_000_000_000 + int(second) * 10**9 + fraction * 10 ** (9 - digits)
    assert columns(START | {"timestamp": text})["timestamp"] == expected


def test_control_characters_that_argus_does_not_escape() -> None:
    event = read_message(json.dumps(START | {"threadName": "a?b"}).replace("?", "\x01"), "jvm").event
    assert event is not None
    assert event.thread_name == "a\x01b"


def test_a_state_update_is_neither_event_nor_odd() -> None:
    for separators in ((",", ":"), (", ", ": ")):
        told = {"type": "THREAD_STATE_UPDATE", "counts": {}, "threads": []}
        assert read_message(json.dumps(told, separators=separators), "jvm").is_state_update


@pytest.mark.parametrize(
    ("text", "oddity"),
    [
        ("", "not JSON"),
        ("pong", "not JSON"),
        ('{"type":"START"', "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("1" * 10_000, "not JSON"),
        ("[]", "not a JSON object"),
        ("null", "not a JSON object"),
        ("{}", "no type"),
        ('{"type":1}', "no type"),
        ('{"type":"start"}', 'unknown type "start"'),
        ('{"type":"CPU_LOAD"}', 'unknown type "CPU_LOAD"'),
        (json.dumps({"type": "x" * 1000}), f'unknown type "{"x" * 40}\\u2026"'),
        ('{"type":"START"}', "START with no timestamp"),
        (json.dumps({"type": "START", "timestamp": AT}), "START with no threadId"),
        (json.dumps(START | {"threadId": "7"}), "START with an odd threadId"),
        (json.dumps(START | {"threadId": True}), "START with an odd threadId"),
        (json.dumps(START | {"threadId": 7.0}), "START with an odd threadId"),
        (json.dumps(START | {"threadId": 2**63}), "START with an odd threadId"),
        (json.dumps(START | {"threadName": 7}), "START with an odd threadName"),
        (json.dumps(START | {"threadName": "\ud800"}), "START with text that is not Unicode"),
        (json.dumps(START | {"stackTrace": "x" * 3_200_000}), "START over 3,145,728 bytes"),
        (json.dumps(GC | {"eventType": "GC"}), "GC_EVENT with an odd eventType"),
        (json.dumps(GC | {"heapUsedAfter": "1"}), "GC_EVENT with an odd heapUsedAfter"),
        (json.dumps(CPU | {"jvmUser": "0.1"}), "CPU_EVENT with an odd jvmUser"),
        (json.dumps(CPU | {"jvmUser": 10**400}), "CPU_EVENT with an odd jvmUser"),
        *(
            (json.dumps(START | {"timestamp": instant}), "START with an odd timestamp")
            for instant in (
                AT_NS,
                "",
                "yesterday",
                "2024-01-01",
                "2024-01-01T00:00:00",
                "2024-13-01T00:00:00Z",
                "2024-01-01T00:00:60Z",
                "2024-01-01T00:00:00.0000000001Z",
                "9999-01-01T00:00:00Z",
                "+292278994-08-17T07:12:55Z",
            )
        ),
    ],
)
def test_oddities(text: str, oddity: str) -> None:
    message = read_message(text, "jvm")
    assert (message.event, message.oddity) == (None, oddity)


_KEYS = sorted({*START, *GC, *CPU, "threadName", "duration"})
_VALUES: st.SearchStrategy[Any] = (
    st.sampled_from([None, True, 0, -1, 2**63, 1e400, "", AT, "\ud800", [], {}]) | st.integers() | st.text()
)


@given(
    st.sampled_from(["START", "GC_EVENT", "CPU_EVENT"]) | _VALUES,
    st.dictionaries(st.sampled_from(_KEYS), _VALUES),
)
def test_nothing_that_is_sent_ends_it(name: Any, told: dict[str, Any]) -> None:
    message = read_message(json.dumps(told | {"type": name}), "jvm")
    assert (message.event is None) != (message.oddity is None)


@given(st.text())
def test_no_text_ends_it(text: str) -> None:
    assert read_message(text, "jvm").event is None
