"""How much is ingested at a time: what is beyond is refused before it costs memory."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from argus_grpc.access import Principal
from argus_grpc.calls import current_principal
from argus_grpc.errors import LimitReached
from argus_grpc.fair import FairSlots

_MIN_RETRY_AFTER_S, _MAX_RETRY_AFTER_S = 0.1, 10.0
_LATE_S = 1.0
"""How much later than told one that was refused may come, and still find room."""


@dataclass
class _Held:
    """How many calls hold how many bytes."""

    calls: int = 0
    bytes: int = 0


@dataclass
class _Refused:
    """When the last of the refused calls is to come again, and until when room is kept for it."""

    returns_s: float = 0.0
    room_until_s: float = 0.0


class Admission:
    """Lets in so many ingest calls, and so many bytes of theirs; LimitReached names what was beyond. Where
    several callers have calls, or had some refused just now, each may have an even share of both.

    A call that holds more than max_bytes by itself is let in while no other holds any, and one that holds
    more than its caller's share while no other of that caller's does.

    Those that are refused are told to come again one after the other, as fast as calls were let in last.

    clock: says seconds, and never goes back.
    """

    def __init__(self, max_calls: int, max_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._max_calls = max_calls
        self._max_bytes = max_bytes
        self._clock = clock
        self._lock = threading.Lock()
        self._all = _Held()
        self._of_caller: dict[Principal, _Held] = {}
        self._refused: dict[Principal, _Refused] = {}
        self._last_call_s = 0.0
        self._last_request_bytes = 0
        # More at a time would be no faster, and what is decoded takes several times a request's bytes.
        self._decoders = FairSlots(os.cpu_count() or 1)

    @property
    def decoding(self) -> AbstractContextManager[None]:
        """To be held while a request is decoded."""
        return self._decoders.turn(current_principal())

    @contextmanager
    def call(self) -> Iterator["AdmittedCall"]:
        """A place for one call, as long as it is held, with the bytes that the last request had until those
        of its own are known. Raises LimitReached if there is none."""
        caller = current_principal()
        with self._lock:
            of_caller = self._of_caller.get(caller) or _Held()
            call = AdmittedCall(self, caller, of_caller)
            if self._all.calls >= self._max_calls or of_caller.calls >= self._share(caller, self._max_calls):
                raise self._refusal(caller, "max_ingests", self._max_calls, "batches at once", takes=1)
            self._hold(call, self._last_request_bytes)
            self._all.calls += 1
            of_caller.calls += 1
            self._of_caller[caller] = of_caller
        try:
            yield call
            self._last_call_s = self._clock() - call.received_s
        finally:
            with self._lock:
                for held in (self._all, of_caller):
                    held.calls -= 1
                    held.bytes -= call.held_bytes
                if not of_caller.calls:
                    del self._of_caller[caller]

    def _hold(self, call: "AdmittedCall", size_bytes: int) -> None:
        more_bytes = size_bytes - call.held_bytes
        all_bytes, own_bytes = self._all.bytes + more_bytes, call.of_caller.bytes + more_bytes
        if more_bytes > 0 and (
            all_bytes > max(size_bytes, self._max_bytes)
            or own_bytes > max(size_bytes, self._share(call.caller, self._max_bytes))
        ):
            what = "bytes of events on their way to the disk"
            raise self._refusal(call.caller, "ingest_memory", self._max_bytes, what, takes=size_bytes)
        self._all.bytes, call.of_caller.bytes, call.held_bytes = all_bytes, own_bytes, size_bytes

    def _share(self, caller: Principal, of: int) -> int:
        """What the caller may have of something that all of them share."""
        if self._refused:
            now_s = self._clock()
            over = [caller for caller, refused in self._refused.items() if refused.room_until_s < now_s]
            for gone in over:
                del self._refused[gone]
        return max(1, of // len({caller, *self._of_caller, *self._refused}))

    def _refusal(self, caller: Principal, limit: str, value: int, of_what: str, takes: int) -> LimitReached:
        share = self._share(caller, value)
        # Those that are in now will have gone after about as long as the last one took. More than there is
        # room for at a time would be refused again, at the price of a call each.
        each_s = self._last_call_s * takes / share
        refused = self._refused.setdefault(caller, _Refused())
        now_s = self._clock()
        returns_s = max(now_s + self._last_call_s, refused.returns_s + each_s)
        retry_after_s = min(max(returns_s - now_s, _MIN_RETRY_AFTER_S), _MAX_RETRY_AFTER_S)
        refused.returns_s = now_s + retry_after_s
        refused.room_until_s = refused.returns_s + max(self._last_call_s, _LATE_S)
        if share < value:
            of_what += f" ({value}, shared evenly among callers)"
        return LimitReached(limit, share, of_what, retry_after_s)


class AdmittedCall:
    """What one call holds."""

    def __init__(self, admission: Admission, caller: Principal, of_caller: _Held) -> None:
        self._admission = admission
        self.caller = caller
        self.of_caller = of_caller
        self.held_bytes = 0
        self.received_s = admission._clock()

    def received(self, size_bytes: int) -> None:
        """The call's request has been received and has this size. Raises LimitReached if there is no room."""
        # How long its sender took says nothing of how long the next will take.
        self.received_s = self._admission._clock()
        with self._admission._lock:
            self._admission._last_request_bytes = size_bytes
            self._admission._hold(self, size_bytes)

    def hold(self, size_bytes: int) -> None:
        """From now on the call holds this much in all. Raises LimitReached if there is no room."""
        with self._admission._lock:
            self._admission._hold(self, size_bytes)
