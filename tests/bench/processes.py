"""The bench's child processes: run to their end, or served from; none outlives its caller."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.bench.dataset import CACHE
from tests.processes import ENVIRONMENT, ServerProcess, server_process

_STOP_TIMEOUT_S = 30

# Installed programs start from bytecode, so these must find theirs too, whatever the shell says
# about writing it.
_ENVIRONMENT = ENVIRONMENT | {
    "PYTHONDONTWRITEBYTECODE": "",
    "PYTHONPYCACHEPREFIX": str(CACHE / "bytecode"),
}


class BenchFailed(Exception):
    """A process failed, or outputs that should be equal are not."""


def run_module(module: str, *arguments: str) -> str:
    """Runs `python -m module …` to its end and returns its standard output.

    Raises BenchFailed, with the end of its standard error.
    """
    command = [sys.executable, "-m", module, *arguments]
    finished = subprocess.run(command, capture_output=True, text=True, env=_ENVIRONMENT, check=False)
    if finished.returncode:
        shown = " ".join(["python -m", module, *arguments])
        raise BenchFailed(f"exit code {finished.returncode} of {shown[:300]}\n{finished.stderr[-2_000:]}")
    return finished.stdout


def timed_module(module: str, *arguments: str) -> float:
    """Seconds from a module's start as a process to its exit."""
    start_s = time.perf_counter()
    run_module(module, *arguments)
    return time.perf_counter() - start_s


def timed_peak(module: str, *arguments: str) -> tuple[float, int | None]:
    """Seconds from a module's start as a process to its exit, and its peak of resident memory in
    bytes; None where there is no /proc to read it from."""
    start_s = time.perf_counter()
    printed = run_module("tests.bench.peak", module, *arguments)
    return time.perf_counter() - start_s, json.loads(printed)


def self_timed(module: str, *arguments: str, rows: int) -> float:
    """The seconds that a module measured itself, which prints {"rows": …, "seconds": […]}.

    Raises BenchFailed unless it had so many rows.
    """
    answer: dict[str, Any] = json.loads(run_module(module, *arguments))
    if answer["rows"] != rows:
        shown = " ".join([module, *arguments])
        raise BenchFailed(f"{shown[:300]}: {answer['rows']:,} events, not {rows:,}")
    return float(answer["seconds"][0])


@contextmanager
def argus_server(database: Path, *flags: str) -> Iterator[ServerProcess]:
    """argus-server of a database, stopped at the end.

    Raises BenchFailed if it does not end well.
    """
    with server_process(database, *flags) as server:
        yield server
        if exit_code := server.stop():
            raise BenchFailed(f"exit code {exit_code} of argus-server")


@contextmanager
def peer_server(module: str, *arguments: str) -> Iterator[str]:
    """A module that serves, killed at the end; gives the last word of the first line it prints,
    which is its address."""
    command = [sys.executable, "-m", module, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=_ENVIRONMENT) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line:
                raise BenchFailed(f"{module} ended before it was ready")
            yield line.split()[-1]
        finally:
            process.kill()
            process.wait(_STOP_TIMEOUT_S)
