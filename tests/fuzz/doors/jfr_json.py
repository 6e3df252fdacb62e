"""What `jfr print --json` may say of a recording that someone made up."""

import io
import json
from collections import Counter
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import ijson

from argus_client.errors import SourceError
from argus_client.sources.inputs import Input
from argus_client.sources.jfr import JfrSource
from argus_client.sources.jfr_events import JFR_TYPES
from argus_client.sources.jfr_program import JfrProgram
from tests.fuzz.door import Attempt, Door
from tests.fuzz.real import JFR_EVENTS, TEXTS

_RECORDING = Path(__file__).parents[2] / "data" / "vt21.jfr"


class _Told(JfrProgram):
    """A jfr program that says this."""

    def __init__(self, told: bytes) -> None:
        super().__init__("jfr")
        object.__setattr__(self, "told", told)

    def summary(self, _recording: object) -> Counter[str]:
        return Counter(dict.fromkeys(JFR_TYPES, 1))

    def events(
        self, _recording: object, _types: Iterable[str], _stack_depth: int
    ) -> Generator[dict[str, Any]]:
        try:
            yield from ijson.items(io.BytesIO(self.told), "recording.events.item", use_float=True)  # type: ignore[attr-defined]
        except (ijson.JSONError, UnicodeDecodeError) as error:
            # As JfrProgram._run has it.
            raise SourceError("what it wrote is not whole") from error


@contextmanager
def _open() -> Iterator[Attempt]:
    # The recording itself is real; what a program says of it is not.
    with patch("argus_client.sources.jfr.check_chunks"):
        yield _attempt


def _attempt(data: bytes) -> None:
    with patch("argus_client.sources.jfr.find_jfr", return_value=_Told(data)):
        source = JfrSource(Input(_RECORDING), None)
    with source:
        try:
            for event in source:
                assert event.event_type
                event.SerializeToString()
        except SourceError:
            return


def _seeds() -> Iterator[bytes]:
    for event in JFR_EVENTS:
        yield json.dumps({"recording": {"events": [event]}}).encode()
    yield json.dumps({"recording": {"events": JFR_EVENTS}}).encode()


DOOR = Door(
    open=_open,
    seeds=_seeds,
    words=(
        *TEXTS,
        *(name.encode() for name in JFR_TYPES),
        b'"values"',
        b'"startTime"',
        b'"stackTrace"',
        b'"frames"',
        b"[" * 2000,
        b"{}",
        b"[]",
        b"null",
        b"1e999",
        b"9" * 400,
        b"PT1E9S",
        b'"\\ud800"',
        b"-1",
        b"true",
    ),
    follows=("argus_client.sources.jfr", "argus_client.sources.jfr_events", "argus_client.times"),
    max_bytes=32 * 1024,
)
