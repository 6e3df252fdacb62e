"""argus-dashboard as a process of its own, and curl to ask it."""

import json
import re
import shutil
import ssl
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode, urlsplit

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


class HttpAnswer(NamedTuple):
    """What a request got: headers' names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def problem(self) -> str | None:
        """The end of the problem's type, for an answer that is one."""
        if self.headers.get("content-type") != "application/problem+json":
            return None
        kind = json.loads(self.body)["type"]
        assert isinstance(kind, str)
        return kind.removeprefix("urn:argus-export:problem:")

    @property
    def cookie(self) -> str:
        """The Set-Cookie field's NAME=VALUE."""
        return self.headers["set-cookie"].partition(";")[0]


def ask(
    url: str,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    form: Mapping[str, str] | None = None,
    *,
    source: str = "127.0.0.1",
    context: ssl.SSLContext | None = None,
    whole: bool = True,
) -> HttpAnswer:
    """What a program gets that sends this and no more; no redirect is followed.

    source: the loopback address that it calls from. whole: read the body, else the headers alone.
    """
    parts = urlsplit(url)
    connection = (
        HTTPSConnection(parts.netloc, timeout=30, context=context, source_address=(source, 0))
        if context
        else HTTPConnection(parts.netloc, timeout=30, source_address=(source, 0))
    )
    sent = dict(headers or {})
    if form is not None:
        sent["Content-Type"] = "application/x-www-form-urlencoded"
    target = f"{parts.path}?{parts.query}" if parts.query else parts.path
    with closing(connection):
        connection.request(method, target, urlencode(form) if form is not None else None, sent)
        response = connection.getresponse()
        fields = {name.lower(): value for name, value in response.getheaders()}
        return HttpAnswer(response.status, fields, response.read() if whole else b"")


def sign_in(
    url: str, token: str, *, source: str = "127.0.0.1", context: ssl.SSLContext | None = None
) -> dict[str, str]:
    """The Cookie field of somebody who has signed in."""
    answer = ask(f"{url}/login", "POST", form={"token": token}, source=source, context=context)
    assert answer.status == 303, answer
    return {"Cookie": answer.cookie}


def bearer(token: str) -> dict[str, str]:
    """The Authorization field of somebody with this token."""
    return {"Authorization": f"Bearer {token}"}
