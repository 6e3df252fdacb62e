"""Ends calls from outside whose client keeps them waiting for too long."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import grpc
import structlog

_log = structlog.get_logger()

_LOOKS_EVERY_S = 0.25


class Wait:
    """That of a call for its client."""

    def __init__(
        self, watchdog: "Watchdog", context: grpc.ServicerContext, timeout_s: float, why: str
    ) -> None:
        self._watchdog = watchdog
        self.context = context
        self.timeout_s = timeout_s
        self.why = why

    def begin(self) -> None:
        """The call ends when the time from now on is over."""
        self._watchdog._begin(self)

    def end(self) -> None:
        self._watchdog._end(self)


class Watchdog:
    """Ends calls with UNAVAILABLE when they have waited for their clients for too long. Close it, which ends
    its thread.
    """

    def __init__(self) -> None:
        self._latest_s: dict[Wait, float] = {}
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._closed.set()
        self._thread.join()

    @contextmanager
    def waiting(self, context: grpc.ServicerContext, timeout_s: float, why: str) -> Iterator[Wait]:
        """Ends the call, which is told why, when this lasts longer than timeout_s seconds, from the last
        begin() on."""
        wait = Wait(self, context, timeout_s, why)
        wait.begin()
        try:
            yield wait
        finally:
            wait.end()

    def _begin(self, wait: Wait) -> None:
        with self._lock:
            self._latest_s[wait] = time.monotonic() + wait.timeout_s

    def _end(self, wait: Wait) -> None:
        with self._lock:
            self._latest_s.pop(wait, None)

    def _watch(self) -> None:
        while not self._closed.wait(_LOOKS_EVERY_S):
            now_s = time.monotonic()
            with self._lock:
                over = [wait for wait, latest_s in self._latest_s.items() if latest_s < now_s]
                for wait in over:
                    del self._latest_s[wait]
            for wait in over:
                _log.warning("call_kept_waiting", peer=wait.context.peer(), why=wait.why)
                _end(wait)


def _end(wait: Wait) -> None:
    # abort() works only in the call's own thread, which is the one that waits; cancel() cannot
    # say why. gRPC's core can end a call from outside with a status: Python has no public name
    # for it.
    call = cast(Any, wait.context)._rpc_event.call
    code, _ = grpc.StatusCode.UNAVAILABLE.value
    call.cancel(code, wait.why)
