"""argus-client collect --jfr-repository with a real JVM, which flushes to its repository once a second."""

import shutil
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from argus_client.collect.java_program import find_java
from argus_client.errors import SourceError
from argus_grpc.v1.event_pb2 import EventType
from tests.collector_process import collector_process, wait_until
from tests.conftest import RunningServer
from tests.jfr_oracle import expected_rows

pytestmark = pytest.mark.duckdb

LIVE = Path(__file__).parents[1] / "data" / "LiveThreads.java"
RECORDED = ("VirtualThreadStart", "VirtualThreadEnd", "VirtualThreadPinned", "GarbageCollection")
# What is in every event itself. Virtual threads' names, and ids of other types, a JVM writes to its
# repository only when it has other new constants to write.
CERTAIN = ("event_type", "timestamp", "duration_ns", "gc_name", "gc_cause", "blocking_operation")


def java_with_virtual_threads() -> str:
    found = shutil.which("java")
    candidates = [*([found] if found else []), *map(str, Path("/usr/lib/jvm").glob("*/bin/java"))]
    for java in candidates:
        version = subprocess.run([java, "--version"], capture_output=True, text=True, check=False).stdout
        if version and int(version.split()[1].partition(".")[0]) >= 21:
            try:
                return find_java(java)
            except SourceError:
                continue
    pytest.skip("no JDK 21 or later is here, on PATH or in /usr/lib/jvm, to run virtual threads")


@contextmanager
def live_threads(folder: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A JVM that records into folder/repository, and into folder/whole.jfr as it ends."""
    enabled = ",".join(f"+jdk.{name}#enabled=true" for name in RECORDED)
    recording = (
        f"settings=none,filename={folder / 'whole.jfr'},{enabled},+jdk.VirtualThreadPinned#threshold=0ms"
    )
    command = [
        java_with_virtual_threads(),
        "-Xmx64m",
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",
        f"-XX:StartFlightRecording:{recording},+jdk.VirtualThreadPinned#stackTrace=true",
        f"-XX:FlightRecorderOptions:repository={folder / 'repository'},preserve-repository=true",
        str(LIVE),
    ]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.kill()


def count(server: RunningServer) -> int:
    return int(server.sql("SELECT count(*) FROM events")[0][0])


def certain(row: dict[str, Any]) -> tuple[Any, ...]:
    is_of_thread = row["event_type"] in ("VIRTUAL_THREAD_START", "VIRTUAL_THREAD_END")
    return (*(row.get(name) for name in CERTAIN), row["thread_id"] if is_of_thread else None)


def test_it_has_what_the_recording_has_even_if_it_is_killed(server: RunningServer, tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    repository.mkdir()
    options = ("--jfr-repository", str(repository), "--server", server.address, "--source", "whole")
    with live_threads(tmp_path) as jvm:
        with collector_process(tmp_path, *options) as it:
            wait_until(lambda: count(server) > 100)
            assert it.stop(signal.SIGKILL) == -signal.SIGKILL
        before = count(server)
        with collector_process(tmp_path, *options) as it:
            wait_until(lambda: count(server) > before + 100)
            assert jvm.stdin is not None
            jvm.stdin.write(b"end\n")
            jvm.stdin.close()
            assert jvm.wait() == 0
            wait_until(lambda: "the JVM has ended" in it.said)
            assert it.stop() == 0
    (stored,) = zip(*server.sql("SELECT e FROM (SELECT * FROM events) e"), strict=True)
    for row in stored:
        row["event_type"] = EventType.Name(row["event_type"]).removeprefix("EVENT_TYPE_")
    expected = expected_rows(tmp_path / "whole.jfr")
    assert {row["event_type"] for row in expected} == {
        "VIRTUAL_THREAD_START",
        "VIRTUAL_THREAD_END",
        "VIRTUAL_THREAD_PINNED",
        "GC_PAUSE",
    }
    assert Counter(map(certain, stored)) == Counter(map(certain, expected))
    assert {row["source"] for row in stored} == {"whole"}
    # Where there is a name, it is the right one.
    names = {row["thread_id"]: row["thread_name"] for row in expected if "thread_id" in row}
    named = [row for row in stored if row["thread_name"] is not None]
    assert named
    assert all(row["thread_name"] == names[row["thread_id"]] for row in named)


def test_the_next_jvm_after_one_that_was_killed(server: RunningServer, tmp_path: Path) -> None:
    (tmp_path / "repository").mkdir()
    options = ("--jfr-repository", str(tmp_path / "repository"), "--server", server.address)
    with collector_process(tmp_path, *options) as it:
        with live_threads(tmp_path) as jvm:
            wait_until(lambda: count(server) > 10)
            jvm.kill()
            jvm.wait()
        with live_threads(tmp_path) as jvm:
            wait_until(lambda: it.said.count("the JVM has ended") == 1)
            before = count(server)
            wait_until(lambda: count(server) > before + 10)
            jvm.communicate(b"end\n")
            wait_until(lambda: it.said.count("the JVM has ended") == 2)
            assert it.stop() == 0
    expected = sorted(row["timestamp"] for row in expected_rows(tmp_path / "whole.jfr"))
    stored = server.sql(f"SELECT timestamp FROM events WHERE timestamp >= {expected[0]} ORDER BY 1")
    assert [timestamp for (timestamp,) in stored] == expected


def test_a_java_that_will_not_do(tmp_path: Path) -> None:
    (tmp_path / "repository").mkdir()
    options = ("--jfr-repository", str(tmp_path / "repository"), "--java", "/no/java")
    with collector_process(tmp_path, *options) as it:
        assert it.process.wait(timeout=60) == 1
    assert "'/no/java' is not there" in it.said


def test_a_java_that_fails_is_told_of_once(tmp_path: Path) -> None:
    (tmp_path / "repository").mkdir()
    java = tmp_path / "java"
    modules = "java.base@21 jdk.compiler@21 jdk.jfr@21"
    java.write_text(
        f'#!/bin/sh\n[ "$1" = --list-modules ] && printf "%s\\n" {modules} && exit\n'
        f"echo again >> {tmp_path}/runs\necho it is broken >&2\nexit 3\n"
    )
    java.chmod(0o755)
    (tmp_path / "repository" / "2026_01_01_00_00_00_1").mkdir()
    options = ("--jfr-repository", str(tmp_path / "repository"), "--java", str(java))
    runs = tmp_path / "runs"
    with collector_process(tmp_path, *options) as it:
        wait_until(lambda: runs.exists() and len(runs.read_text().splitlines()) > 1)
        assert it.stop() == 0
    assert it.said.count("it is broken; trying again") == 1


@pytest.mark.parametrize("arguments", [(), ("ws://h/", "--jfr-repository", ".")])
def test_one_of_the_two(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    with collector_process(tmp_path, *arguments) as it:
        assert it.process.wait(timeout=60) == 2
    assert "give a URL or --jfr-repository DIR, one of them" in it.said
