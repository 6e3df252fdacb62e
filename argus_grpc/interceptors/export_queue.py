"""Lets only so many exports, and so many plans, run at once; others wait for their turn, for a while."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import grpc

from argus_grpc.calls import Call, current_call
from argus_grpc.errors import Cancelled, LimitReached, StoreUnavailable
from argus_grpc.fair import FairSlots, Outcome
from argus_grpc.interceptors.call import EXPORT_METHODS, PLAN_METHOD, CallLayer
from argus_grpc.limits import Accounts

MAX_PLANS = 16
"""More at once would be no faster, and take the threads of other calls."""

_RETRY_AFTER_S = 1.0


class Queue(CallLayer):
    """Gives some calls a slot. Others wait, for timeout_s at most and max_queued of them, and have their
    turns round robin over their callers; one that waits in vain is refused with LimitReached.

    limit: what the number of slots is called.
    of_what: what they are for.

    Close it, which ends those that wait with StoreUnavailable.
    """

    def __init__(
        self,
        methods: tuple[str, ...],
        slots: int,
        max_queued: int,
        timeout_s: float,
        *,
        limit: str,
        of_what: str,
    ) -> None:
        self._methods = methods
        self._count = slots
        self._max_queued = max_queued
        self._timeout_s = timeout_s
        self._limit = limit
        self._of_what = of_what
        self._slots = FairSlots(slots, max_queued)

    @property
    def waiting(self) -> int:
        """How many calls wait."""
        return self._slots.waiting

    def close(self) -> None:
        self._slots.close()

    def concerns(self, method: str) -> bool:
        return method in self._methods

    @contextmanager
    def around(self, method: str, context: grpc.ServicerContext) -> Iterator[None]:  # noqa: ARG002
        call = current_call()
        place = self._slots.enter(call.principal)
        try:
            if not context.add_callback(place.stop_waiting):
                raise Cancelled
            call.on_interrupt(place.stop_waiting)
            came_s = time.monotonic()
            self._check(place.wait(self._timeout_s), call, context)
            call.queued_s = time.monotonic() - came_s
            call.judge()
            yield
        finally:
            place.leave()

    def _check(self, outcome: Outcome, call: Call, context: grpc.ServicerContext) -> None:
        match outcome:
            case Outcome.REFUSED if self._max_queued:
                waiting = f"{self._of_what} waiting while {self._count} run"
                raise LimitReached("max_queued", self._max_queued, waiting, _RETRY_AFTER_S)
            case Outcome.REFUSED:
                raise LimitReached(self._limit, self._count, f"{self._of_what} at once", _RETRY_AFTER_S)
            case Outcome.TIMED_OUT:
                running = f"{self._of_what} at once, for {self._timeout_s:g} s,"
                raise LimitReached(self._limit, self._count, running, _RETRY_AFTER_S)
            case Outcome.LEFT:
                if call.interruption is not None or not context.is_active():
                    raise Cancelled
                raise StoreUnavailable("the server is stopping; resume to go on")


class ExportQueue(Queue):
    """That of exports. One beyond what its role may have at once is refused with LimitReached, too."""

    def __init__(self, max_exports: int, max_queued: int, timeout_s: float, accounts: Accounts) -> None:
        super().__init__(
            EXPORT_METHODS, max_exports, max_queued, timeout_s, limit="max_exports", of_what="exports"
        )
        self._accounts = accounts

    @contextmanager
    def around(self, method: str, context: grpc.ServicerContext) -> Iterator[None]:
        with self._accounts.export(current_call()), super().around(method, context):
            yield


class PlanQueue(Queue):
    """That of plans."""

    def __init__(self, max_queued: int, timeout_s: float) -> None:
        super().__init__((PLAN_METHOD,), MAX_PLANS, max_queued, timeout_s, limit="max_plans", of_what="plans")
