"""What clients that stop reading cost the server and the others: `python -m tests.bench.stalled`.

Prints the server's resident memory, and the latency of a health check and of a first batch, each
without and beside stalled exports of every column.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import click
import grpc
import psutil
from grpc_health.v1 import health_pb2, health_pb2_grpc

from argus_grpc.v1.export_pb2 import Encoding, StreamEventsRequest
from argus_grpc.v1.export_pb2_grpc import ExportServiceStub
from tests.processes import server_process
from tests.synthetic import make_store

_MIB = 1024 * 1024
_TRIES = 21
_QUIET_S = 1.0
_ALL_EVENTS = StreamEventsRequest(columns=["all"], encoding=Encoding.ENCODING_ARROW)


@click.command()
@click.option("--rows", default=300_000, show_default=True, help="Events in the store.")
@click.option("--clients", default=100, show_default=True, help="Clients that stop reading.")
def main(rows: int, clients: int) -> None:
    """Measure what clients that stop reading cost."""
    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder, "events.duckdb")
        make_store(database, rows)
        with server_process(database) as server, grpc.insecure_channel(server.address) as channel:
            process = psutil.Process(server.process.pid)
            _first_batch(channel)
            _wait_until_idle(process)
            _report("alone", process, channel)
            channels = [
                grpc.insecure_channel(server.address, options=[("grpc.use_local_subchannel_pool", 1)])
                for _ in range(clients)
            ]
            streams = [ExportServiceStub(its_channel).StreamEvents(_ALL_EVENTS) for its_channel in channels]
            for stream in streams:
                next(stream)
            _wait_until_idle(process)
            _report(f"{clients} stalled", process, channel)
            for stream, its_channel in zip(streams, channels, strict=True):
                stream.cancel()
                its_channel.close()
            _wait_until_idle(process)
            _report("after they left", process, channel)


def _report(name: str, process: psutil.Process, channel: grpc.Channel) -> None:
    health = health_pb2_grpc.HealthStub(channel)
    memory_mib = process.memory_info().rss / _MIB
    health_ms = _median_ms(lambda: health.Check(health_pb2.HealthCheckRequest()))
    first_batch_ms = _median_ms(lambda: _first_batch(channel))
    latencies = f"health check {health_ms:6.2f} ms, first batch {first_batch_ms:6.1f} ms"
    click.echo(f"{name:>16}: {memory_mib:6.0f} MiB, {latencies}")


def _first_batch(channel: grpc.Channel) -> None:
    stream = ExportServiceStub(channel).StreamEvents(_ALL_EVENTS)
    while not next(stream).HasField("batch"):
        pass
    stream.cancel()


def _median_ms(call: Callable[[], object]) -> float:
    times_s = []
    for _ in range(_TRIES):
        began_s = time.perf_counter()
        call()
        times_s.append(time.perf_counter() - began_s)
    return statistics.median(times_s) * 1000


def _wait_until_idle(process: psutil.Process) -> None:
    """Until the server has used next to no CPU for a second: whoever stalls, has stalled."""
    while True:
        before = sum(process.cpu_times()[:2])
        time.sleep(_QUIET_S)
        if sum(process.cpu_times()[:2]) - before < 0.05 * _QUIET_S:
            return


if __name__ == "__main__":
    main()
