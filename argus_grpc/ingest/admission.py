"""How much is ingested at a time: what is beyond is refused before it costs memory."""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from argus_grpc.errors import LimitReached

_MIN_RETRY_AFTER_S, _MAX_RETRY_AFTER_S = 0.1, 10.0


class Admission:
    """Lets in so many ingest calls, and so many bytes of theirs; LimitReached names what was beyond.

    A call that holds more than max_bytes by itself is let in while no other holds any.
    """

    def __init__(self, max_calls: int, max_bytes: int) -> None:
        self._max_calls = max_calls
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._calls = 0
        self._held_bytes = 0
        self._last_call_s = 0.0
        self._last_request_bytes = 0
        # More at a time would be no faster, and what is decoded takes several times a request's bytes.
        self._decoders = threading.BoundedSemaphore(os.cpu_count() or 1)

    @property
    def decoding(self) -> AbstractContextManager[bool]:
        """To be held while a request is decoded."""
        return self._decoders

    @contextmanager
    def call(self) -> Iterator["AdmittedCall"]:
        """A place for one call, as long as it is held, with the bytes that the last request had until those
        of its own are known. Raises LimitReached if there is none."""
        began_s = time.monotonic()
        call = AdmittedCall(self)
        with self._lock:
            if self._calls >= self._max_calls:
                raise self._refusal("max_ingests", self._max_calls, "batches at once")
            self._hold(call, self._last_request_bytes)
            self._calls += 1
        try:
            yield call
        finally:
            with self._lock:
                self._calls -= 1
                self._held_bytes -= call.held_bytes
                self._last_call_s = time.monotonic() - began_s

    def _hold(self, call: "AdmittedCall", size_bytes: int) -> None:
        others_bytes = self._held_bytes - call.held_bytes
        if others_bytes and size_bytes > call.held_bytes and others_bytes + size_bytes > self._max_bytes:
            raise self._refusal("ingest_memory", self._max_bytes, "bytes of events on their way to the disk")
        self._held_bytes = others_bytes + size_bytes
        call.held_bytes = size_bytes

    def _refusal(self, limit: str, value: int, of_what: str) -> LimitReached:
        # Those that are in now will have gone after about as long as the last one took.
        retry_after_s = min(max(self._last_call_s, _MIN_RETRY_AFTER_S), _MAX_RETRY_AFTER_S)
        return LimitReached(limit, value, of_what, retry_after_s)


class AdmittedCall:
    """What one call holds."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
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
