"""Many clients that ingest on a schedule, for a while: `python -m tests.bench.paced`.

Prints how long requests took to be acknowledged, counted from when they were due, and the server's resident
memory; and checks with SQL that every acknowledged batch is in the file once, under the sequences that were
told. Two loads: small requests without end, and a burst at the peak that one Argus can emit.
"""

import json
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import duckdb
import numpy as np
import psutil

from tests.bench.processes import BenchFailed
from tests.processes import ENVIRONMENT, server_process

_MIB = 1024 * 1024
_CLIENTS_START_S = 0.5


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
    """Seconds by request, server's resident bytes over the time, its CPU seconds, requests refused for a
    while."""

    seconds: list[float]
    elapsed_s: float
    resident_bytes: list[int]
    cpu_s: float
    refusals: int


def run_load(load: Load, folder: Path, *server_flags: str) -> Outcome:
    """Raises BenchFailed if anything is not in the file as it was acknowledged."""
    database = folder / f"{load.name}.duckdb"
    with server_process(database, *server_flags) as server:
        process = psutil.Process(server.process.pid)
        with ExitStack() as stack:
            clients = [
                stack.enter_context(_client(server.address, f"client-{number}", load))
                for number in range(load.clients)
            ]
            for client in clients:
                assert client.stdout is not None
                if client.stdout.readline() != "ready\n":
                    raise BenchFailed(f"{load.name}: a client ended before it was ready")
            cpu_before_s = sum(process.cpu_times()[:2])
            start_s = time.time() + _CLIENTS_START_S
            for client in clients:
                assert client.stdin is not None
                client.stdin.write(f"{start_s!r}\n")
                client.stdin.flush()
            memory = _Memory(process)
            printed = [client.communicate()[0] for client in clients]
            elapsed_s = time.time() - start_s
            resident_bytes = memory.stop()
            cpu_s = sum(process.cpu_times()[:2]) - cpu_before_s
        if exit_code := server.stop():
            raise BenchFailed(f"{load.name}: exit code {exit_code} of argus-server")
    answers: list[dict[str, Any]] = [json.loads(text) for text in printed if text]
    if len(answers) < load.clients:
        raise BenchFailed(f"{load.name}: a client failed")
    _check(database, load, answers)
    return Outcome(
        [seconds for answer in answers for seconds in answer["seconds"]],
        elapsed_s,
        resident_bytes,
        cpu_s,
        sum(answer["refusals"] for answer in answers),
    )


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


def _client(address: str, name: str, load: Load) -> "subprocess.Popen[str]":
    figures = (load.requests_per_s / load.clients, load.seconds, load.events)
    command = [sys.executable, "-m", "tests.bench.paced_client", address, name, *map(str, figures)]
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT
    )


def _check(database: Path, load: Load, answers: list[dict[str, Any]]) -> None:
    acknowledged = [
        (f"client-{client}", str(number), first)
        for client, answer in enumerate(answers)
        for number, first in enumerate(answer["firsts"])
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
@click.option("--clients", default=16, show_default=True, help="Clients, each a process.")
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
        f" server {outcome.cpu_s / outcome.elapsed_s:.2f} cores, resident {resident[0]:.0f} MiB at first,"
        f" {resident[len(resident) // 2]:.0f} halfway, {max(resident):.0f} peak, {resident[-1]:.0f} last"
    )


if __name__ == "__main__":
    main()
