"""Servers and clients as processes of their own: for signals, memory and exit codes."""

import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("ARGUS_")}


@dataclass(frozen=True)
class ServerProcess:
    process: "subprocess.Popen[str]"
    address: str

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Sends a signal, waits for the end and returns the exit code."""
        self.process.send_signal(number)
        return self.process.wait(timeout=60)


@contextmanager
def server_process(db: Path, *flags: str) -> Iterator[ServerProcess]:
    """argus-server on a free port, once it is ready; killed at the end if it still runs."""
    command = [sys.executable, "-m", "argus_grpc.main", "--db", str(db), "--listen", "127.0.0.1:0", *flags]
    with (
        tempfile.TemporaryFile("w+") as log,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=ENVIRONMENT) as process,
    ):
        try:
            assert process.stdout is not None
            ready = re.match(r"argus-server is listening on (\S+), ", process.stdout.readline())
            if not ready:
                process.wait()
                log.seek(0)
                raise AssertionError(f"the server ended before it was ready: {log.read()}")
            yield ServerProcess(process, ready[1])
        finally:
            process.kill()


def run_server(*flags: str, environment: dict[str, str] | None = None) -> "subprocess.CompletedProcess[str]":
    """argus-server run to its end: for what it refuses at start."""
    return subprocess.run(
        [sys.executable, "-m", "argus_grpc.main", *flags],
        capture_output=True,
        text=True,
        timeout=60,
        env=ENVIRONMENT | (environment or {}),
        check=False,
    )


def peak_bytes(status_file: Path) -> int:
    """The peak of a process's resident memory, from its /proc/PID/status (Linux only)."""
    for line in status_file.read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise AssertionError(f"{status_file} has no VmHWM")


# A child's ru_maxrss begins at its parent's, so the client reports its own peak as it ends.
_CLIENT_WITH_STATUS = """
import sys
from pathlib import Path
status_file = sys.argv.pop(1)
from argus_client.cli import main
try:
    main()
finally:
    Path(status_file).write_text(Path("/proc/self/status").read_text())
"""


def client_peak_bytes(status_file: Path, *arguments: str) -> int:
    """Runs argus-client, which must succeed, and returns the peak of its resident memory."""
    command = [sys.executable, "-c", _CLIENT_WITH_STATUS, str(status_file), *arguments]
    subprocess.run(command, env=ENVIRONMENT, check=True)
    return peak_bytes(status_file)
