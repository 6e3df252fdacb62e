"""Lets only so many exports run at once; others wait for their turn, for a while."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import grpc

from argus_grpc.calls import Call, current_call
from argus_grpc.errors import Cancelled, LimitReached, StoreUnavailable
from argus_grpc.fair import FairSlots, Outcome
from argus_grpc.interceptors.call import EXPORT_METHODS, CallInterceptor
from argus_grpc.limits import Accounts

_RETRY_AFTER_S = 1.0


class ExportQueue(CallInterceptor):
    """Gives `max_exports` exports a slot. Others wait, for timeout_s at most and max_queued of them, and have
    their turns round robin over their callers; one that waits in vain is refused with LimitReached, as is one
    beyond what its role may have at once.

    Close it, which ends those that wait with StoreUnavailable.
    """

    def __init__(self, max_exports: int, max_queued: int, timeout_s: float, accounts: Accounts) -> None:
        super().__init__()
        self._max_exports = max_exports
        self._max_queued = max_queued
        self._timeout_s = timeout_s
        self._accounts = accounts
        self._slots = FairSlots(max_exports, max_queued)

    @property
    def waiting(self) -> int:
        """How many exports wait."""
        return self._slots.waiting

    def close(self) -> None:
        self._slots.close()

    def concerns(self, method: str) -> bool:
        return method in EXPORT_METHODS

    @contextmanager
    def around(self, method: str, context: grpc.ServicerContext) -> Iterator[None]:  # noqa: ARG002
        call = current_call()
        with self._accounts.export(call):
            place = self._slots.enter(call.principal)
            try:
                if not context.add_callback(place.stop_waiting):
                    raise Cancelled
                call.on_interrupt(place.stop_waiting)
                came_s = time.monotonic()
                self._check(place.wait(self._timeout_s), call, context)
                call.queued_s = time.monotonic() - came_s
                yield
            finally:
                place.leave()

    def _check(self, outcome: Outcome, call: Call, context: grpc.ServicerContext) -> None:
        match outcome:
            case Outcome.REFUSED if not self._max_queued:
                raise LimitReached("max_exports", self._max_exports, "exports at once", _RETRY_AFTER_S)
            case Outcome.REFUSED:
                waiting = f"exports waiting while {self._max_exports} run"
                raise LimitReached("max_queued", self._max_queued, waiting, _RETRY_AFTER_S)
            case Outcome.TIMED_OUT:
                running = f"exports at once, for {self._timeout_s:g} s,"
                raise LimitReached("max_exports", self._max_exports, running, _RETRY_AFTER_S)
            case Outcome.LEFT:
                if call.interruption is not None or not context.is_active():
                    raise Cancelled
                raise StoreUnavailable("the server is stopping; resume to go on")
