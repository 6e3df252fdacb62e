"""What a recording says, event by event, where the real recordings have no example of it."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from argus_client.sources.jfr import Lifetimes
from argus_client.sources.jfr_events import (
    JFR_TYPES,
    java_class_name,
    parse_java_duration_ns,
    stack_text,
)
from argus_grpc.v1.event_pb2 import Event, EventType

START_TYPE = EventType.EVENT_TYPE_VIRTUAL_THREAD_START
END_TYPE = EventType.EVENT_TYPE_VIRTUAL_THREAD_END


def read(jfr_type: str, **values: Any) -> dict[str, Any]:
    event = JFR_TYPES[jfr_type].to_event({"startTime": "2024-01-01T00:00:00.000000001Z", **values}, "jvm")
    assert (event.timestamp, event.source) == (1_704_067_200_000_000_001, "jvm")
    common = ("timestamp", "source", "event_type")
    return {field.name: value for field, value in event.ListFields() if field.name not in common}


def thread(thread_id: int, name: str | None) -> dict[str, Any]:
    return {"javaThreadId": thread_id, "javaName": name, "osName": "os"}


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("PT0S", 0),
        ("PT0.000000001S", 1),
        ("PT0.01509723S", 15_097_230),
        ("PT9007199.254740993S", 9_007_199_254_740_993),  # not a float's
        ("PT1M", 60_000_000_000),
        ("PT2H3M4.5S", 7_384_500_000_000),
        ("PT2562047H47M16.854775807S", 2**63 - 1),
        ("PT-0.5S", None),
        ("PT-1H-2M", None),
    ],
)
def test_java_durations(text: str, ns: int | None) -> None:
    assert parse_java_duration_ns(text) == ns


@pytest.mark.parametrize("text", ["", "5 s", "P1D", "PT0.0000000001S"])
def test_not_java_durations(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration as Java writes it"):
        parse_java_duration_ns(text)


@pytest.mark.parametrize(
    ("internal", "name"),
    [
        ("java/lang/String", "java.lang.String"),
        ("Load", "Load"),
        ("Load$1", "Load$1"),
        ("[B", "byte[]"),
        ("[[[J", "long[][][]"),
        ("[Ljava/util/Map$Entry;", "java.util.Map$Entry[]"),
        ("[[LLoad;", "Load[][]"),
        ("B", "B"),  # a class of that name
    ],
)
def test_class_names(internal: str, name: str) -> None:
    assert java_class_name(internal) == name


def test_stack_text() -> None:
    def frame(class_name: str, method: str, line: int, hidden: bool = False) -> dict[str, Any]:
        kind = {"name": class_name, "hidden": hidden}
        return {"method": {"type": kind, "name": method}, "lineNumber": line}

    frames = [
        frame("java/lang/Object", "wait0", -1),
        frame("App", "<init>", 7),
        frame("App$$Lambda/0x7f", "run", 0, hidden=True),
        {"method": None},
    ]
    lines = "java.lang.Object.wait0\nApp.<init>:7\nApp$$Lambda/0x7f.run\n(unknown).(unknown)"
    assert stack_text({"truncated": False, "frames": frames}) == lines
    assert stack_text({"truncated": True, "frames": frames}) == f"{lines}\n..."
    assert stack_text({"truncated": False, "frames": []}) is None
    assert stack_text(None) is None


def test_allocations_of_all_three_types() -> None:
    common = {"eventThread": thread(7, "main"), "objectClass": {"name": "[I"}}
    kept = {"thread_id": 7, "thread_name": "main", "class_name": "int[]", "allocation_size_bytes": 24}
    assert read("jdk.ObjectAllocationInNewTLAB", allocationSize=24, tlabSize=512, **common) == {
        **kept,
        "tlab_size_bytes": 512,
    }
    assert read("jdk.ObjectAllocationOutsideTLAB", allocationSize=24, **common) == kept
    assert read("jdk.ObjectAllocationSample", weight=24, **common) == kept


def test_signs_for_absent_are_unset_and_values_like_them_are_not() -> None:
    assert read("jdk.CPULoad", jvmUser=0.0, jvmSystem=-1.0, machineTotal=None) == {"cpu_jvm_user": 0.0}
    assert read("jdk.GarbageCollection", name="", cause=None, duration="PT-1S") == {"gc_name": ""}
    assert read("jdk.JavaMonitorEnter", eventThread=thread(0, None), monitorClass=None) == {
        "contention_type": "ENTER"
    }
    assert read("jdk.VirtualThreadPinned", eventThread=thread(9, ""), carrierThread=thread(-1, "c")) == {
        "thread_id": 9,
        "thread_name": "",
    }


def test_events_with_nothing_but_their_time() -> None:
    for name in JFR_TYPES:
        assert set(read(name)) <= {"contention_type"}


def test_only_the_thread_itself_gives_its_name() -> None:
    for name in ("jdk.VirtualThreadStart", "jdk.VirtualThreadEnd", "jdk.VirtualThreadSubmitFailed"):
        assert read(name, javaThreadId=5, eventThread=thread(5, "vt")) == {
            "thread_id": 5,
            "thread_name": "vt",
        }
        assert read(name, javaThreadId=5, eventThread=thread(1, "main")) == {"thread_id": 5}


def test_the_duration_that_jdk_21_gives_starts_and_ends_is_none() -> None:
    for name in ("jdk.VirtualThreadStart", "jdk.VirtualThreadEnd", "jdk.VirtualThreadSubmitFailed"):
        assert read(name, duration="PT0S") == {}


def test_samples_take_the_top_frame_with_or_without_a_line() -> None:
    frame = {"method": {"type": {"name": "a/B"}, "name": "m"}, "lineNumber": 12}
    stack = {"truncated": False, "frames": [frame, {**frame, "lineNumber": 99}]}
    kept = read("jdk.ExecutionSample", sampledThread=thread(3, "t"), stackTrace=stack)
    assert kept == {
        "thread_id": 3,
        "thread_name": "t",
        "class_name": "a.B",
        "method_name": "m",
        "line_number": 12,
        "stack_trace": "a.B.m:12\na.B.m:99",
    }
    frame["lineNumber"] = -1
    assert "line_number" not in read("jdk.ExecutionSample", stackTrace=stack)


def test_times_in_another_zone_are_the_same_instant() -> None:
    event = JFR_TYPES["jdk.CPULoad"].to_event({"startTime": "2024-01-01T09:00:00.25+09:00"}, "jvm")
    assert event.timestamp == 1_704_067_200_250_000_000


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_lifetimes_are_right_in_any_order(data: st.DataObject) -> None:
    spans = data.draw(
        st.dictionaries(
            st.integers(1, 50),
            st.tuples(st.integers(0, 1000), st.integers(0, 1000), st.booleans(), st.booleans()),
        )
    )
    events = []
    for thread_id, (start, length, has_start, has_end) in spans.items():
        if has_start:
            events.append(Event(event_type=START_TYPE, thread_id=thread_id, timestamp=start))
        if has_end:
            events.append(Event(event_type=END_TYPE, thread_id=thread_id, timestamp=start + length))
    lifetimes = Lifetimes()
    paired: list[Event] = []
    for event in data.draw(st.permutations(events)):
        paired += lifetimes.start(event) if event.event_type == START_TYPE else lifetimes.end(event)
    paired += lifetimes.rest()

    assert len(paired) == len(events)
    for event in paired:
        start, length, has_start, _ = spans[event.thread_id]
        if event.event_type == END_TYPE and has_start:
            assert event.duration_ns == length
            assert event.HasField("duration_ns")
        else:
            assert not event.HasField("duration_ns")


def test_an_end_before_its_start_in_time_has_no_lifetime() -> None:
    lifetimes = Lifetimes()
    list(lifetimes.start(Event(event_type=START_TYPE, thread_id=1, timestamp=10)))
    (end,) = lifetimes.end(Event(event_type=END_TYPE, thread_id=1, timestamp=9))
    assert not end.HasField("duration_ns")


def test_no_end_is_lost_when_an_id_comes_twice() -> None:
    lifetimes = Lifetimes()
    first, second = (Event(event_type=END_TYPE, thread_id=1, timestamp=t) for t in (9, 12))
    got = [*lifetimes.end(first), *lifetimes.end(second)]
    got += lifetimes.start(Event(event_type=START_TYPE, thread_id=1, timestamp=10))
    assert [(e.timestamp, e.duration_ns) for e in got] == [(9, 0), (10, 0), (12, 2)]
    assert not got[0].HasField("duration_ns")
    assert list(lifetimes.rest()) == []
