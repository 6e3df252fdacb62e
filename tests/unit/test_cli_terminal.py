"""Text from events and servers does not command a terminal, and is the same as ever in a file or a pipe."""

import json
import os
import pty
import subprocess
import sys

import google_crc32c
import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from argus_client.cli.terminal import TerminalOutput, visible
from argus_grpc.columns import DEFAULT_COLUMNS
from argus_grpc.encode import to_arrow_stream
from argus_grpc.v1.event_pb2 import Event, EventType
from argus_grpc.v1.export_pb2 import StreamEventsResponse
from tests.processes import ENVIRONMENT
from tests.scripted import EndWith, batch, header, scripted_server, summary
from tests.strategies import batch_of

# Clears the screen, sets the title, moves up a line, and turns the direction of text.
HOSTILE = "\x1b[2J\x1b]0;title\x07\x9b1A\u202eevil\u2069\b\x7f"
_COMMANDING = set("\x1b\x07\x9b\u202e\u2069\b\x7f")


def hostile_batch() -> StreamEventsResponse:
    message = batch(0, 1)
    event = Event(timestamp=1, event_type=EventType.EVENT_TYPE_VIRTUAL_THREAD_START, thread_name=HOSTILE)
    message.batch.arrow = bytes(to_arrow_stream(batch_of([event], DEFAULT_COLUMNS)))
    message.batch.crc32c = google_crc32c.value(message.batch.arrow)
    return message


def run(*arguments: str, terminal: bool) -> bytes:
    """What argus-client writes, of everything: to a terminal, or to a pipe."""
    command = [sys.executable, "-m", "argus_client", *arguments]
    if not terminal:
        return subprocess.run(command, env=ENVIRONMENT, capture_output=True, check=False).stdout
    ours, theirs = pty.openpty()
    with subprocess.Popen(command, env=ENVIRONMENT, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        written = b""
        try:
            while piece := os.read(ours, 65_536):
                written += piece
        except OSError:
            pass  # Linux says so that it is closed.
        process.wait()
    os.close(ours)
    return written


def assert_harmless(written: bytes) -> None:
    text = written.decode().replace("\r\n", "\n")
    assert "evil" in text
    assert not set(text) & _COMMANDING, text


@pytest.mark.parametrize("format", ["csv", "json", "jsonl"])
def test_events(format: str) -> None:
    with scripted_server(header(1), hostile_batch(), summary(1)) as server:
        arguments = ("export", "--server", server.address, "--format", format)
        assert_harmless(run(*arguments, terminal=True))
        piped = run(*arguments, terminal=False)
    if format == "csv":
        assert HOSTILE.encode() in piped
    else:
        told = json.loads(piped)
        assert (told["events"][0] if format == "json" else told)["threadName"] == HOSTILE


def test_messages_of_the_server() -> None:
    with scripted_server(EndWith(grpc.StatusCode.INTERNAL, f"no: {HOSTILE}")) as server:
        assert_harmless(run("export", "--server", server.address, terminal=True))


def test_compressed_data_do_not_go_to_a_terminal() -> None:
    assert b"nothing for a terminal" in run("export", "--compress", "gzip", terminal=True)


@given(st.text())
def test_lines_stay_and_nothing_commands(text: str) -> None:
    shown = visible(text)
    assert not any(ord(character) < 32 and character not in "\n\t" for character in shown)
    assert shown.count("\n") == text.count("\n")
    assert visible(shown) == shown
    assert json.loads(json.dumps(shown)) == shown


@given(st.text(st.characters(codec="utf-8")))
def test_bytes_are_shown_as_text_is(text: str) -> None:
    class Kept:
        def __init__(self) -> None:
            self.data = b""

        def write(self, data: bytes) -> None:
            self.data += data

    kept = Kept()
    assert TerminalOutput(kept).write(text.encode()) == len(text.encode())  # type: ignore[arg-type]
    assert kept.data.decode().replace("\r\n", "\n") == visible(text.replace("\r\n", "\n"))
