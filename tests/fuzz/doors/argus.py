"""What an Argus server's WebSocket sends, by message: an event, nothing, or an oddity that is told."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

from argus_client.collect.argus_messages import read_message
from argus_client.collect.replay import ReplayFilter
from argus_grpc.v1.event_pb2 import Event
from tests.fuzz.door import Attempt, Door
from tests.fuzz.real import ARGUS_MESSAGES, TEXTS

_MAX_ODDITY_CHARACTERS = 300


@contextmanager
def _open() -> Iterator[Attempt]:
    yield _attempt


def _attempt(data: bytes) -> None:
    replays = ReplayFilter()
    replays.connected()
    # A WebSocket's text is UTF-8; a line is a message.
    for text in data.decode(errors="replace").split("\n"):
        message = read_message(text, "source")
        assert message.oddity is None or len(message.oddity) < _MAX_ODDITY_CHARACTERS
        if message.event is not None:
            assert Event.FromString(message.event.SerializeToString()) == message.event
            assert isinstance(json.loads(text, strict=False), dict)
        for new in replays.receive(text, message):
            assert new is message
    ReplayFilter(replays.state())


def _seeds() -> Iterator[bytes]:
    texts = [json.dumps(message).encode() for message in ARGUS_MESSAGES]
    yield from texts
    yield b"\n".join(texts)


DOOR = Door(
    open=_open,
    seeds=_seeds,
    words=(
        *TEXTS,
        b'"type":',
        b'"START"',
        b'"timestamp":',
        b"1e999",
        b"-1",
        b"null",
        b"[" * 5000,
        b'{"a":' * 5000,
        b"9" * 5000,
        b"true",
        b'"\\ud800"',
        b"NaN",
        b"\n",
    ),
    follows=("argus_client.collect.argus_messages", "argus_client.collect.replay", "argus_client.times"),
    max_bytes=32 * 1024,
)
