"""Received events, into batches for the spool."""

import time
from collections.abc import Callable, Mapping
from typing import Any

from argus_client.collect.spool import Spool
from argus_client.ingest import DEFAULT_MAX_BATCH_EVENTS
from argus_grpc.v1.event_pb2 import Event

MAX_BATCH_AGE_S = 0.2
"""How long an event waits for others: what a killed collector may lose, and part of the latency."""

# With one event more, of the most bytes that it may have, it is still a message that gRPC takes.
_FULL_BYTES = 512 * 1024


class Batcher:
    """Collects events; gives the spool a batch when it is large enough, or told to.

    state: gives the collector's state, all events added so far counted in.
    """

    def __init__(self, spool: Spool, state: Callable[[], Mapping[str, Any]]) -> None:
        self._spool = spool
        self._state = state
        self._events: list[Event] = []
        self._bytes = 0
        self._since_s = 0.0

    def add(self, event: Event) -> None:
        if not self._events:
            self._since_s = time.monotonic()
        self._events.append(event)
        self._bytes += event.ByteSize()
        # Never before it is added: the state would be that of a batch without it.
        if self._bytes >= _FULL_BYTES or len(self._events) >= DEFAULT_MAX_BATCH_EVENTS:
            self.flush()

    def flush(self) -> None:
        """Puts what there is into the spool."""
        if self._events:
            events, self._events, self._bytes = self._events, [], 0
            self._spool.append(events, self._state())

    def flush_if_old(self) -> None:
        if self._events and time.monotonic() - self._since_s >= MAX_BATCH_AGE_S:
            self.flush()
