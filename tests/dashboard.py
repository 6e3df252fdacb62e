"""argus-dashboard as a process of its own, and curl to ask it."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.processes import ENVIRONMENT

needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl here")


@dataclass(frozen=True)
class DashboardProcess:
    process: "subprocess.Popen[str]"
    url: str
    log: Path

    @property
    def address(self) -> str:
        return self.url.removeprefix("http://")

    def stop(self, number: int) -> int:
        """Sends a signal, waits for the end and returns the exit code."""
        self.process.send_signal(number)
        return self.process.wait(timeout=60)


@contextmanager
def dashboard_process(folder: Path, server: str, *flags: str) -> Iterator[DashboardProcess]:
    """argus-dashboard on a free port, once it is ready, with its log in the folder; killed at the end if it
    still runs."""
    command = [sys.executable, "-m", "argus_dashboard", "--server", server, "--listen", "127.0.0.1:0", *flags]
    path = folder / "dashboard.log"
    with (
        path.open("w") as log,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=ENVIRONMENT) as process,
    ):
        try:
            assert process.stdout is not None
            ready = re.match(r"argus-dashboard is listening on (\S+), ", process.stdout.readline())
            if not ready:
                process.wait()
                raise AssertionError(f"the dashboard ended before it was ready: {path.read_text()}")
            yield DashboardProcess(process, ready[1], path)
        finally:
            process.kill()


@dataclass(frozen=True)
class Answer:
    """What curl got: names of headers in lower case."""

    exit_code: int
    status: int
    headers: dict[str, str]
    body: bytes


def curl(url: str, *flags: str) -> Answer:
    """What curl gets of a URL, with its body as it is after any decoding that the flags ask for."""
    done = subprocess.run(
        ["curl", "--silent", "--globoff", "--max-time", "60", "--dump-header", "/dev/stderr", *flags, url],
        capture_output=True,
        check=False,
    )
    status_line, *lines = done.stderr.decode("latin-1").split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines if ": " in line)
    return Answer(
        done.returncode,
        int(status_line.split()[1]) if status_line else 0,
        {name.lower(): value for name, value in headers.items()},
        done.stdout,
    )


def get_json(url: str, *flags: str, status: int = 200) -> Any:
    """The JSON that a URL answers with, with this status."""
    answer = curl(url, *flags)
    assert answer.status == status, answer
    wanted = "application/json" if status == 200 else "application/problem+json"
    assert answer.headers["content-type"] == wanted
    return json.loads(answer.body)
