"""The project's programs as the examples run them: from the same environment, told what they do."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
RECORDING = Path("tests/data/vt25.jfr")


@dataclass(frozen=True)
class Running:
    """A program that is ready at an address."""

    process: "subprocess.Popen[str]"
    address: str


@contextmanager
def running(name: str, *arguments: str) -> Iterator[Running]:
    """argus-server or argus-dashboard on a free port, once it is ready; ended at the end. SystemExit if it
    does not start.

    Ctrl-C reaches only who started it, who then ends it in order.
    """
    command = [_path(name), *arguments, "--listen", "127.0.0.1:0"]
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, process_group=0)
        try:
            assert process.stdout is not None
            ready = process.stdout.readline()
            if not ready:
                process.wait()
                log.seek(0)
                sys.exit(f"{name} did not start:\n{log.read()}")
            # "argus-server is listening on ADDRESS, …"
            yield Running(process, ready.split()[4].rstrip(","))
        finally:
            process.terminate()
            process.wait()


def client(server: str, *arguments: str) -> None:
    """Runs argus-client, which must succeed, and says so first."""
    say(f"$ argus-client {' '.join(arguments)}")
    subprocess.run([_path("argus-client"), *arguments], env=os.environ | {"ARGUS_SERVER": server}, check=True)


def say(text: str) -> None:
    print(f"\n{text}", flush=True)


def _path(name: str) -> str:
    return str(Path(sys.executable).parent / name)
