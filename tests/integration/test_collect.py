"""argus-client collect, in a process of its own, between a scripted Argus server and a real server."""

import random
import re
import signal
import socket
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from argus_grpc.config import Config
from argus_grpc.server import Server
from argus_grpc.v1.event_pb2 import EventType
from tests.argus_peer import START_NS, ArgusPeer, thread_start
from tests.collector_process import CollectorProcess, collector_process, wait_until
from tests.conftest import RunningServer, start_server

pytestmark = pytest.mark.duckdb

GC_AT = "2024-01-01T00:00:01.000000001Z"


def thread_ids(server: RunningServer) -> list[int]:
    """Of all events, in the order of arrival."""
    return [row[0] for row in server.sql("SELECT thread_id FROM events ORDER BY sequence")]


def wait_for_threads(server: RunningServer, count: int) -> None:
    wait_until(lambda: server.sql("SELECT count(*) FROM events")[0][0] >= count)


def spool_has(folder: Path, text: bytes) -> bool:
    for path in (folder / "spool").glob("*.segment"):
        with suppress(FileNotFoundError):  # the oldest may be dropped at any moment
            if text in path.read_bytes():
                return True
    return False


def report_of(collector: CollectorProcess) -> list[str]:
    lines = collector.said.splitlines()
    first = next(place for place, line in enumerate(lines) if line.startswith("Received "))
    return lines[first:]


SHAPES: Sequence[tuple[dict[str, Any], dict[str, Any]]] = [
    (
        thread_start(1, type="END", threadName="VT-1", carrierThread=22, duration=333),
        {
            "event_type": "VIRTUAL_THREAD_END",
            "timestamp": START_NS + 1,
            "thread_id": 1,
            "thread_name": "VT-1",
            "carrier_thread": 22,
            "duration_ns": 333,
        },
    ),
    (
        thread_start(2, type="PINNED", threadName="", duration=20_000_000, stackTrace="a.B.c:1\nd.E.f:2"),
        {
            "event_type": "VIRTUAL_THREAD_PINNED",
            "timestamp": START_NS + 2,
            "thread_id": 2,
            "thread_name": "",
            "duration_ns": 20_000_000,
            "stack_trace": "a.B.c:1\nd.E.f:2",
        },
    ),
    (
        thread_start(3, type="SUBMIT_FAILED"),
        {"event_type": "VIRTUAL_THREAD_SUBMIT_FAILED", "timestamp": START_NS + 3, "thread_id": 3},
    ),
    (
        {
            "type": "GC_EVENT",
            "eventType": "GC_PAUSE",
            "timestamp": GC_AT,
            "duration": 1_500_000,
            "gcName": "G1New",
            "gcCause": "G1 Evacuation Pause",
        },
        {
            "event_type": "GC_PAUSE",
            "timestamp": START_NS + 1_000_000_001,
            "duration_ns": 1_500_000,
            "gc_name": "G1New",
            "gc_cause": "G1 Evacuation Pause",
        },
    ),
    (
        {
            "type": "GC_EVENT",
            "eventType": "GC_HEAP_SUMMARY",
            "timestamp": "2024-01-01T00:00:02Z",
            "heapUsedBefore": 300,
            "heapUsedAfter": 200,
            "heapCommitted": 400,
        },
        {
            "event_type": "GC_HEAP_SUMMARY",
            "timestamp": START_NS + 2_000_000_000,
            "heap_used_before_bytes": 300,
            "heap_used_after_bytes": 200,
            "heap_committed_bytes": 400,
        },
    ),
    (
        {
            "type": "CPU_EVENT",
            "timestamp": "2024-01-01T00:00:03.5Z",
            "jvmUser": 0.25,
            "jvmSystem": 0.0,
            "jvmTotal": 0.25,
            "machineTotal": 0.5,
        },
        {
            "event_type": "CPU_LOAD",
            "timestamp": START_NS + 3_500_000_000,
            "cpu_jvm_user": 0.25,
            "cpu_jvm_system": 0.0,
            "cpu_machine_total": 0.5,
        },
    ),
]


def test_all_shapes_a_lost_connection_repetitions_and_garbage(server: RunningServer, tmp_path: Path) -> None:
    shapes = [message for message, _ in SHAPES]
    with ArgusPeer() as peer:
        peer.happen(thread_start(number) for number in range(1_000, 1_150))
        with collector_process(tmp_path, peer.url, "--server", server.address, "--source", "jvm") as it:
            wait_for_threads(server, 100)
            peer.happen(shapes)
            peer.send("garbage", "{", "[1]", '{"type":"HELLO"}', '{"type":"HELLO"}', b"\x00\x01")
            peer.send('{"type":"START","threadId":1}', '{"type":"THREAD_STATE_UPDATE"}')
            peer.happen([thread_start(2_000)])
            wait_for_threads(server, 107)
            peer.cut()
            # More of it while nobody listens, and then at once.
            peer.happen(thread_start(number) for number in range(2_001, 2_040))
            wait_until(lambda: peer.connects == 2)
            peer.happen(thread_start(number) for number in range(2_040, 2_100))
            # Ends the connection by the rules of the protocol: no text, and too long.
            wait_until(lambda: peer.is_connected)
            peer.send(b"\xff", text=True)
            wait_until(lambda: peer.connects == 3)
            wait_until(lambda: peer.is_connected)
            peer.send("x" * ((64 << 20) + 1))
            wait_until(lambda: peer.connects == 4)
            peer.happen([thread_start(3_000), thread_start(3_000)])
            wait_for_threads(server, 208)
            assert it.stop() == 0
    rows = [
        {name: value for name, value in row.items() if value is not None}
        for row in server.sql("SELECT e FROM (SELECT * EXCLUDE sequence FROM events ORDER BY sequence) e")
        for row in row
    ]
    assert all(row.pop("source") == "jvm" for row in rows)
    for row in rows:
        row["event_type"] = EventType.Name(row["event_type"]).removeprefix("EVENT_TYPE_")
    assert rows[100:106] == [row for _, row in SHAPES]
    starts = [*range(1_050, 1_150), *range(2_000, 2_100), 3_000, 3_000]
    assert rows[:100] + rows[106:] == [
        {"event_type": "VIRTUAL_THREAD_START", "timestamp": START_NS + number, "thread_id": number}
        for number in starts
    ]
    received, *odd, stored = report_of(it)
    # How much of it is repeated, the moment of the new connection tells.
    numbers = re.fullmatch(
        r"Received 208 events in (\d+) messages; (\d+) repeated, 5 thread state updates, 9 odd\.", received
    )
    assert numbers
    assert int(numbers[1]) == 208 + int(numbers[2]) + 5 + 9
    assert {line.strip() for line in odd} == {
        "2  not JSON",
        '2  unknown type "HELLO"',
        "1  not a JSON object",
        "1  binary",
        "1  START with no timestamp",
        "1  text that is not UTF-8",
        "1  over 67,108,864 bytes",
    }
    assert stored == f"Stored 208 events; 0 wait in {tmp_path / 'spool'}."


def test_killed_again_and_again_it_loses_nothing_that_is_still_repeated(
    server: RunningServer, tmp_path: Path
) -> None:
    dice = random.Random(1)
    count = 0
    with ArgusPeer() as peer:
        for kill in range(6):
            with collector_process(tmp_path, peer.url, "--server", server.address) as it:
                wait_until(lambda kill=kill: peer.connects > kill)  # type: ignore[misc]
                for _ in range(dice.randrange(6)):
                    peer.happen(thread_start(number) for number in range(count + 1, count + 8))
                    count += 7
                # At any moment: at the repetition, before the spool, before or after the answer.
                wait_for_threads(server, count - dice.randint(0, 60))
                assert it.stop(signal.SIGKILL) == -signal.SIGKILL
        with collector_process(tmp_path, peer.url, "--server", server.address) as it:
            wait_until(lambda: peer.connects == 7)
            wait_for_threads(server, count)
            assert it.stop() == 0
    assert thread_ids(server) == list(range(1, count + 1))


def test_events_wait_for_a_server_that_is_away(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    with ArgusPeer() as peer:
        with collector_process(tmp_path, peer.url, "--server", address) as it:
            wait_until(lambda: peer.is_connected)
            peer.happen(thread_start(number) for number in range(1, 300))
            peer.happen([thread_start(300, threadName="the last")])
            wait_until(lambda: spool_has(tmp_path, b"the last"))
            wait_until(lambda: "no server answers" in it.said)
            assert it.stop() == 0
            assert "Stored 0 events; 300 wait in " in it.said
        with collector_process(tmp_path, peer.url, "--server", address) as it:
            wait_until(lambda: peer.connects == 2 and peer.is_connected)
            for outage in (1, 2):
                first = 1 + outage * 300
                peer.happen(thread_start(number) for number in range(first, first + 300))
                wait_until(lambda outage=outage: it.said.count("; events wait in ") == outage)  # type: ignore[misc]
                with Server(Config(db=tmp_path / "a.duckdb", listen=address, shutdown_grace_s=1)) as server:
                    running = RunningServer(server, tmp_path / "a.duckdb", None)  # type: ignore[arg-type]
                    wait_for_threads(running, first + 299)
                    stored = thread_ids(running)
            assert it.stop(signal.SIGINT) == 0
    assert stored == list(range(1, 901))
    assert it.said.count("takes events again") == 2


def test_what_does_not_fit_the_spool_is_counted(tmp_path: Path) -> None:
    stack = "x" * 10_000
    with ArgusPeer() as peer:
        with collector_process(tmp_path, peer.url, "--server", "127.0.0.1:1", "--spool-bytes", "1MiB") as it:
            wait_until(lambda: peer.is_connected)
            for first in range(1, 500, 50):
                peer.happen(thread_start(n, stackTrace=stack) for n in range(first, min(first + 50, 500)))
            peer.happen([thread_start(500, stackTrace="the last")])
            wait_until(lambda: spool_has(tmp_path, b"the last"))
            assert it.stop() == 0
        dropped = next(int(line.split()[1]) for line in report_of(it) if line.startswith("Dropped "))
        assert 390 < dropped < 500
        assert it.said.count("the spool is full (1,048,576 bytes)") == 1
        assert sum(path.stat().st_size for path in (tmp_path / "spool").iterdir()) < 1 << 20
        for server in start_server(tmp_path):
            with collector_process(tmp_path, peer.url, "--server", server.address) as it:
                wait_for_threads(server, 500 - dropped)
                assert it.stop() == 0
            # The oldest are gone, and what the peer repeats was known.
            assert thread_ids(server) == list(range(dropped + 1, 501))


def test_one_collector_a_spool(server: RunningServer, tmp_path: Path) -> None:
    with ArgusPeer() as peer, collector_process(tmp_path, peer.url, "--server", server.address):
        wait_until(lambda: peer.is_connected)
        (tmp_path / "other").mkdir()
        spool = ("--spool", str(tmp_path / "spool"))
        with collector_process(tmp_path / "other", peer.url, "--server", server.address, *spool) as other:
            assert other.process.wait(timeout=60) == 1
        assert "is in use by another collector" in other.said


@pytest.mark.parametrize(
    "url", ["http://localhost:9202/events", "ws:///events", "ws://h:99999/", "ws://[::1/", "localhost:9202"]
)
def test_urls_that_are_none(tmp_path: Path, url: str) -> None:
    with collector_process(tmp_path, url) as it:
        assert it.process.wait(timeout=60) == 2
    assert url in it.said
    assert "ws://localhost:9202/events" in it.said
