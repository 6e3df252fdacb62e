"""Many clients that ingest on a schedule, for a while: `python -m tests.bench.paced`.

Prints how long requests took to be acknowledged, counted from when they were due, and the server's resident
memory; and checks with SQL that every acknowledged batch is in the file once, under the sequences that were
told. Two loads: small requests without end, and a burst at the peak that one Argus can emit. The clients are
paced_clients.go, which needs Go (clients/go/go.mod says from which version).
"""

import json
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import duckdb
import numpy as np
import psutil

from argus_grpc.v1.event_pb2 import Event, Events, EventType
from argus_grpc.v1.ingest_pb2 import IngestEventsRequest
from tests.bench.processes import BenchFailed
from tests.processes import server_process

_MIB = 1024 * 1024
_CLIENTS_SOURCE = Path(__file__).with_name("paced_clients.go")
_GO_MODULE = Path(__file__).parents[2] / "clients" / "go"
_KINDS = (
    EventType.EVENT_TYPE_VIRTUAL_THREAD_START,
    EventType.EVENT_TYPE_VIRTUAL_THREAD_END,
    EventType.EVENT_TYPE_VIRTUAL_THREAD_PINNED,
)


@dataclass(frozen=True)
class Load:
    """What all clients send together."""

    name: str
    clients: int
    requests_per_s: float
    events: int
    seconds: float


@dataclass(frozen=True)
class Outcome:
    """Seconds by request from when it was due to its answer, all the time, server's resident bytes over it,
    CPU seconds of the server and of all clients, requests refused for a while."""

    seconds: list[float]
    elapsed_s: float
    resident_bytes: list[int]
    server_cpu_s: float
    clients_cpu_s: float
    refusals: int


def run_load(load: Load, folder: Path, *server_flags: str) -> Outcome:
    """Raises BenchFailed if anything is not in the file as it was acknowledged."""
    database, rows, program = folder / f"{load.name}.duckdb", folder / "rows", folder / "paced_clients"
    rows.write_bytes(IngestEventsRequest(rows=Events(events=_events(load.events))).SerializeToString())
    subprocess.run(["go", "build", "-o", program, _CLIENTS_SOURCE], cwd=_GO_MODULE, check=True)
    requests = round(load.requests_per_s * load.seconds / load.clients)
    figures = map(str, (load.clients, load.requests_per_s, requests))
    with server_process(database, *server_flags) as server:
        process = psutil.Process(server.process.pid)
        with subprocess.Popen(
            [program, server.address, rows, *figures],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as clients:
            assert clients.stdout is not None
            if clients.stdout.readline() != "ready\n":
                raise BenchFailed(f"{load.name}: the clients ended before they were ready")
            cpu_before_s, began_s = _cpu_s(process), time.monotonic()
            memory = _Memory(process)
            printed = clients.communicate("\n")[0]
            elapsed_s = time.monotonic() - began_s
            server_cpu_s = _cpu_s(process) - cpu_before_s
            resident_bytes = memory.stop()
        if clients.returncode:
            raise BenchFailed(f"{load.name}: exit code {clients.returncode} of the clients")
        if exit_code := server.stop():
            raise BenchFailed(f"{load.name}: exit code {exit_code} of argus-server")
    came: dict[str, Any] = json.loads(printed)
    _check(database, load, came["firsts"])
    return Outcome(
        [seconds for client in came["seconds"] for seconds in client],
        elapsed_s,
        resident_bytes,
        server_cpu_s,
        came["cpu_s"],
        came["refusals"],
    )


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _events(count: int) -> list[Event]:
    now_ns = time.time_ns()
    return [
        Event(
            timestamp=now_ns + i * 10_000,
            event_type=_KINDS[i % 3],
            source="paced",
            thread_id=100_000 + i,
            thread_name=f"order-worker-{i}",
            carrier_thread=20 + i % 8,
            duration_ns=i * 1_000 if i % 3 else None,
        )
        for i in range(count)
    ]


class _Memory:
    """The resident memory of a process, looked at ten times a second in a thread of its own."""

    def __init__(self, process: psutil.Process) -> None:
        self._process = process
        self._bytes: list[int] = []
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def stop(self) -> list[int]:
        self._is_over.set()
        self._thread.join()
        return self._bytes

    def _watch(self) -> None:
        while not self._is_over.wait(0.1):
            self._bytes.append(self._process.memory_info().rss)


def _check(database: Path, load: Load, firsts: list[list[int]]) -> None:
    acknowledged = [
        (f"client-{client}", str(number), first)
        for client, of_client in enumerate(firsts)
        for number, first in enumerate(of_client)
    ]
    with duckdb.connect(database, read_only=True) as connection:
        stored = connection.execute(
            "SELECT source, batch_id, first_sequence FROM argus_batches ORDER BY ALL"
        ).fetchall()
        if stored != sorted(acknowledged):
            raise BenchFailed(
                f"{load.name}: {len(acknowledged):,} batches acknowledged, {len(stored):,} stored"
            )
        counts = connection.execute(
            "SELECT count(*), count(DISTINCT sequence), max(sequence) FROM events"
        ).fetchone()
    if counts != (len(acknowledged) * load.events,) * 3:
        raise BenchFailed(
            f"{load.name}: {len(acknowledged) * load.events:,} events acknowledged, stored {counts}"
        )


@click.command()
@click.option("--clients", default=16, show_default=True, help="Clients, each a connection.")
@click.option("--requests-per-s", default=2_000.0, show_default=True, help="Small requests of all clients.")
@click.option("--seconds", default=60.0, show_default=True, help="How long the small requests come.")
@click.option(
    "--burst-events-per-s", default=330_000, show_default=True, help="In requests of 16,500 events."
)
@click.option("--burst-seconds", default=10.0, show_default=True, help="How long the burst is.")
@click.argument("server_flags", nargs=-1)
def main(
    clients: int,
    requests_per_s: float,
    seconds: float,
    burst_events_per_s: int,
    burst_seconds: float,
    server_flags: tuple[str, ...],
) -> None:
    """Measure ingest on a schedule. After --, flags for argus-server."""
    loads = [
        Load("small", clients, requests_per_s, 100, seconds),
        Load("burst", clients, burst_events_per_s / 16_500, 16_500, burst_seconds),
    ]
    with tempfile.TemporaryDirectory() as folder:
        for load in loads:
            if load.seconds:
                _report(load, run_load(load, Path(folder), *server_flags))


def _report(load: Load, outcome: Outcome) -> None:
    rows = len(outcome.seconds) * load.events
    p50, p99, most = np.percentile(outcome.seconds, [50, 99, 100]) * 1e3
    resident = [size / _MIB for size in outcome.resident_bytes]
    click.echo(
        f"{load.name}: {len(outcome.seconds):,} requests of {load.events:,} events, acknowledged and stored"
        f" once each, {rows / outcome.elapsed_s:,.0f} events/s; {outcome.refusals:,} refused at first;"
        f" latency p50 {p50:.1f} ms, p99 {p99:.1f} ms, max {most:.1f} ms;"
        f" CPU a request: server {outcome.server_cpu_s / len(outcome.seconds) * 1e3:.2f} ms,"
        f" client {outcome.clients_cpu_s / len(outcome.seconds) * 1e3:.2f} ms;"
        f" resident {resident[0]:.0f} MiB at first, {resident[len(resident) // 2]:.0f} halfway,"
        f" {max(resident):.0f} peak, {resident[-1]:.0f} last"
    )


if __name__ == "__main__":
    main()
