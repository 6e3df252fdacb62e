"""The bench's child processes: run to their end, or served from; none outlives its caller."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.bench.dataset import CACHE
from tests.processes import ENVIRONMENT

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


@contextmanager
def flight_server(batches: Path) -> Iterator[str]:
    """An Arrow Flight server of an Arrow file's batches; gives its location."""
    command = [sys.executable, "-m", "tests.bench.flight_server", str(batches)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=_ENVIRONMENT) as process:
        try:
            assert process.stdout is not None
            location = process.stdout.readline().strip()
            if not location:
                raise BenchFailed("the Flight server ended before it was ready")
            yield location
        finally:
            process.kill()
            process.wait(_STOP_TIMEOUT_S)
