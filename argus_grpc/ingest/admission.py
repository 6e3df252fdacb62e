"""How much is ingested at a time: what is beyond is refused before it costs memory."""

import os
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from argus_grpc.access import Principal
from argus_grpc.calls import current_principal
from argus_grpc.errors import LimitReached
from argus_grpc.fair import FairSlots

_MIN_RETRY_AFTER_S, _MAX_RETRY_AFTER_S = 0.1, 10.0


class Admission:
    """Lets in so many ingest calls, and so many bytes of theirs; LimitReached names what was beyond. Where
    several callers have calls, or had some refused just now, each may have an even share of both.

    A call that holds more than max_bytes by itself is let in while no other holds any, and one that holds
    more than its caller's share while no other of that caller's does.
    """

    def __init__(self, max_calls: int, max_bytes: int) -> None:
        self._max_calls = max_calls
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._calls: Counter[Principal] = Counter()
        self._held_bytes: Counter[Principal] = Counter()
        self._refused_until_s: dict[Principal, float] = {}
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
        began_s = time.monotonic()
        call = AdmittedCall(self, current_principal())
        with self._lock:
            share = self._share(call, self._max_calls)
            if self._calls.total() >= self._max_calls or self._calls[call.caller] >= share:
                raise self._refusal(call, "max_ingests", self._max_calls, "batches at once")
            self._hold(call, self._last_request_bytes)
            self._calls[call.caller] += 1
        try:
            yield call
        finally:
            with self._lock:
                self._calls -= Counter({call.caller: 1})
                self._held_bytes -= Counter({call.caller: call.held_bytes})
                self._last_call_s = time.monotonic() - began_s

    def _hold(self, call: "AdmittedCall", size_bytes: int) -> None:
        others_bytes = self._held_bytes.total() - call.held_bytes
        own_bytes = self._held_bytes[call.caller] - call.held_bytes
        if size_bytes > call.held_bytes and (
            (others_bytes and others_bytes + size_bytes > self._max_bytes)
            or (own_bytes and own_bytes + size_bytes > self._share(call, self._max_bytes))
        ):
            what = "bytes of events on their way to the disk"
            raise self._refusal(call, "ingest_memory", self._max_bytes, what)
        self._held_bytes[call.caller] = own_bytes + size_bytes
        call.held_bytes = size_bytes

    def _share(self, call: "AdmittedCall", of: int) -> int:
        """What the caller may have of something that all of them share."""
        now_s = time.monotonic()
        for caller in [caller for caller, until_s in self._refused_until_s.items() if until_s < now_s]:
            del self._refused_until_s[caller]
        return max(1, of // len({call.caller, *self._calls, *self._refused_until_s}))

    def _refusal(self, call: "AdmittedCall", limit: str, value: int, of_what: str) -> LimitReached:
        # Those that are in now will have gone after about as long as the last one took.
        retry_after_s = min(max(self._last_call_s, _MIN_RETRY_AFTER_S), _MAX_RETRY_AFTER_S)
        # Until it has had the time to come again, there is to be room for it.
        self._refused_until_s[call.caller] = time.monotonic() + 2 * retry_after_s
        share = self._share(call, value)
        if share < value:
            of_what += f" ({value}, shared evenly among callers)"
        return LimitReached(limit, share, of_what, retry_after_s)


class AdmittedCall:
    """What one call holds."""

    def __init__(self, admission: Admission, caller: Principal) -> None:
        self._admission = admission
        self.caller = caller
        self.held_bytes = 0

    def received(self, size_bytes: int) -> None:
        """The call's request has been received and has this size. Raises LimitReached if there is no room."""
        with self._admission._lock:
            self._admission._last_request_bytes = size_bytes
            self._admission._hold(self, size_bytes)

    def hold(self, size_bytes: int) -> None:
        """From now on the call holds this much in all. Raises LimitReached if there is no room."""
        with self._admission._lock:
            self._admission._hold(self, size_bytes)
