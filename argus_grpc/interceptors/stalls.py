"""Ends streams whose reader has taken nothing for too long."""

import threading
import time
from collections.abc import Iterator
from typing import Any, cast

import grpc
import structlog

from argus_grpc.interceptors.call import EXPORT_METHODS, CallInterceptor

_log = structlog.get_logger()


class StallGuard(CallInterceptor):
    """Ends a stream with UNAVAILABLE, which says to resume, when its last message has waited
    `timeout_s` seconds for the reader. Close it, which ends its thread.
    """

    def __init__(self, timeout_s: float) -> None:
        super().__init__()
        self._timeout_s = timeout_s
        self._waiting_since_s: dict[grpc.ServicerContext, float] = {}
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="stall-guard", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._closed.set()
        self._thread.join()

    def concerns(self, method: str) -> bool:
        return method in EXPORT_METHODS

    def along(self, messages: Iterator[Any], method: str, context: grpc.ServicerContext) -> Iterator[Any]:  # noqa: ARG002
        for message in messages:
            with self._lock:
                self._waiting_since_s[context] = time.monotonic()
            try:
                yield message
            finally:
                with self._lock:
                    self._waiting_since_s.pop(context, None)

    def _watch(self) -> None:
        while not self._closed.wait(min(self._timeout_s / 4, 1)):
            latest_s = time.monotonic() - self._timeout_s
            with self._lock:
                stalled = [
                    context for context, since_s in self._waiting_since_s.items() if since_s < latest_s
                ]
                for context in stalled:
                    del self._waiting_since_s[context]
            for context in stalled:
                _log.warning("stream_stalled", peer=context.peer(), timeout_s=self._timeout_s)
                self._end(context)

    def _end(self, context: grpc.ServicerContext) -> None:
        # abort() works only in the call's own thread, which is the one that waits; cancel() cannot
        # say why. gRPC's core can end a call from outside with a status: Python has no public name
        # for it.
        call = cast(Any, context)._rpc_event.call
        code, _ = grpc.StatusCode.UNAVAILABLE.value
        call.cancel(code, f"stalled: nothing was read for {self._timeout_s:g} s; resume to go on")
