"""argus-client collect as a process of its own, and waiting for what it does."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.processes import ENVIRONMENT


def wait_until(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


class CollectorProcess:
    def __init__(self, process: "subprocess.Popen[str]", log: Path) -> None:
        self.process = process
        self._log = log

    @property
    def said(self) -> str:
        return self._log.read_text()

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Sends a signal, waits for the end and returns the exit code."""
        self.process.send_signal(number)
        return self.process.wait(timeout=60)


@contextmanager
def collector_process(folder: Path, *arguments: str) -> Iterator[CollectorProcess]:
    """argus-client collect with its spool in the folder; killed at the end if it still runs."""
    log = folder / "collector.log"
    command = [sys.executable, "-m", "argus_client", "collect", "--spool", str(folder / "spool"), *arguments]
    with (
        log.open("w") as file,
        subprocess.Popen(command, stdout=file, stderr=file, text=True, env=ENVIRONMENT) as process,
    ):
        try:
            yield CollectorProcess(process, log)
        finally:
            process.kill()
