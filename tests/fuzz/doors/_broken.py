"""A door that does not hold: the runner's own test."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.fuzz.door import Attempt, Door

FAILS, CRASHES, HANGS, GROWS, IS_UNRAISABLE = b"\1", b"\2", b"\3", b"\4", b"\5"
_held: list[bytearray] = []


class _Unfreeable:
    def __del__(self) -> None:
        raise ValueError("unexpected")


@contextmanager
def _open() -> Iterator[Attempt]:
    def attempt(data: bytes) -> None:
        if FAILS in data:
            raise ValueError("unexpected")
        if CRASHES in data:
            os.kill(os.getpid(), signal.SIGSEGV)
        if HANGS in data:
            time.sleep(60)
        if GROWS in data:
            _held.append(bytearray(b"x" * 128 * 1024 * 1024))
        if IS_UNRAISABLE in data:
            _Unfreeable()

    yield attempt


DOOR = Door(open=_open, seeds=lambda: [b"sound"], max_growth_bytes=32 * 1024 * 1024, timeout_s=5)
