"""What `make run` and `make dashboard` do, as processes of their own."""

import json
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.processes import ENVIRONMENT

PROJECT = Path(__file__).resolve().parents[2]


def start(example: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", f"examples.{example}"]
    return subprocess.Popen(command, cwd=PROJECT, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True)


def test_the_quick_start_ends_by_itself_and_says_how_to_go_on() -> None:
    with start("quickstart") as process:
        said, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    assert "timestamp,event_type,thread_id" in said
    assert "make dashboard" in said.split("To go on:")[1]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_dashboard_shows_the_recording_until_it_is_told_to_stop(number: int) -> None:
    with start("dashboard") as process:
        try:
            assert process.stdout is not None
            # Either the address, or the end of what it says.
            address = next(
                found[1] for line in process.stdout if (found := re.match(r"Open (http://\S+)", line))
            )
            with urllib.request.urlopen(f"{address}/api/plan?type=PINNED", timeout=60) as answer:
                assert json.load(answer)["totalEvents"] > 0
            with urllib.request.urlopen(address, timeout=60) as answer:
                assert b"<html" in answer.read()
            process.send_signal(number)
            rest, _ = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 0
    assert "Stopped the dashboard and the server" in rest
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(address, timeout=60)
