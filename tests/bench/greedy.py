"""What a greedy client does to another's small export: `python -m tests.bench.greedy`.

Prints how long small exports take, to the first batch and to the end, alone and beside a greedy caller with
many exports in a loop: of everything, read as fast as it can, in processes that need the same cores, or
slowly; and of 100 events. In turns.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import click
import psutil

from argus_client import EventQuery, ExportClient
from argus_grpc.access.tokens_file import create_token
from tests.bench.dataset import CACHE, copied_store
from tests.bench.latencies import Selected, select_some
from tests.bench.processes import BenchFailed, argus_server
from tests.processes import ENVIRONMENT

_GREEDY_PROCESSES = 5
_MODES = {
    "alone": None,
    "beside greedy": "fast",
    "beside slow greedy": "slow 1",
    "beside many small": "small",
}


class Greedy:
    """Some processes of one caller."""

    def __init__(self, address: str, exports: int, token: str, stack: ExitStack) -> None:
        each = [
            exports // _GREEDY_PROCESSES + (n < exports % _GREEDY_PROCESSES) for n in range(_GREEDY_PROCESSES)
        ]
        self._processes = [stack.enter_context(_process(address, count, token)) for count in each if count]

    def say(self, line: str) -> list[str]:
        """The answer of each process."""
        for process in self._processes:
            assert process.stdin is not None
            print(line, file=process.stdin, flush=True)
        return [_line(process) for process in self._processes]


@contextmanager
def _process(address: str, exports: int, token: str) -> "Iterator[subprocess.Popen[str]]":
    command = [sys.executable, "-m", "tests.bench.greedy_process", address, str(exports), token]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def _line(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    if not (line := process.stdout.readline()):
        raise BenchFailed("a greedy process ended")
    return line.strip()


@dataclass
class Figures:
    """Of one small export in one company, try by try, in seconds."""

    first_batch_s: list[float] = field(default_factory=list)
    whole_s: list[float] = field(default_factory=list)


def _take(client: ExportClient, wanted: Selected, figures: Figures) -> None:
    began_s = time.perf_counter()
    with client.export(EventQuery(start=wanted.start_ns, end=wanted.end_ns)) as export:
        batches = iter(export)
        rows = next(batches).num_rows
        figures.first_batch_s.append(time.perf_counter() - began_s)
        rows += sum(batch.num_rows for batch in batches)
    figures.whole_s.append(time.perf_counter() - began_s)
    if rows != len(wanted.sequences):
        raise BenchFailed(f"{rows:,} events came, not {len(wanted.sequences):,}")


@click.command()
@click.option("--rows", default=5_000_000, show_default=True, help="Events in the store.")
@click.option("--exports", default=50, show_default=True, help="Exports of the greedy caller at once.")
@click.option(
    "--small", default=[100, 10_000], show_default=True, multiple=True, help="Events of a small export."
)
@click.option("--rounds", default=4, show_default=True, help="Turns of each company.")
@click.option("--tries", default=12, show_default=True, help="Small exports a turn, of each size.")
def main(rows: int, exports: int, small: tuple[int, ...], rounds: int, tries: int) -> None:
    """Measure a small export alone and beside a greedy caller."""
    CACHE.mkdir(parents=True, exist_ok=True)
    selected = {size: select_some(rows, size) for size in small}
    found = {mode: {size: Figures() for size in small} for mode in _MODES}
    with tempfile.TemporaryDirectory(dir=CACHE, prefix="run-") as folder, ExitStack() as stack:
        tokens = Path(folder, "tokens.json")
        greedys, smalls = (create_token(tokens, name, "reader", None)[0] for name in ("greedy", "small"))
        database = copied_store(rows, Path(folder))
        server = stack.enter_context(argus_server(database, "--tokens", str(tokens)))
        client = stack.enter_context(ExportClient(server.address, token=smalls))
        greedy = Greedy(server.address, exports, greedys, stack)
        process = psutil.Process(server.process.pid)
        for _ in range(3):
            for wanted in selected.values():
                _take(client, wanted, Figures())
        for _ in range(rounds):
            for mode, how in _MODES.items():
                if how:
                    greedy.say(how)
                cpu_s, began_s = sum(process.cpu_times()[:2]), time.perf_counter()
                for _ in range(tries):
                    for size, wanted in selected.items():
                        _take(client, wanted, found[mode][size])
                elapsed_s = time.perf_counter() - began_s
                cores = (sum(process.cpu_times()[:2]) - cpu_s) / elapsed_s
                messages = sum(map(int, greedy.say("stop"))) if how else 0
                click.echo(
                    f"{mode:>20}: server {cores:.2f} cores, greedy {messages / elapsed_s:,.0f} messages/s",
                    err=True,
                )
    for size in small:
        _report(size, {mode: found[mode][size] for mode in _MODES})


def _report(size: int, by_mode: dict[str, Figures]) -> None:
    alone = by_mode["alone"]
    click.echo(f"{size:,} events")
    for mode, figures in by_mode.items():
        words = [
            f"{name} median {statistics.median(of) * 1e3:7.1f} ms"
            f" ({statistics.median(of) / statistics.median(base):5.1f} x), worst {max(of) * 1e3:7.1f} ms"
            for name, of, base in (
                ("first batch", figures.first_batch_s, alone.first_batch_s),
                ("whole", figures.whole_s, alone.whole_s),
            )
        ]
        click.echo(f"{mode:>20}: {'; '.join(words)}")


if __name__ == "__main__":
    main()
