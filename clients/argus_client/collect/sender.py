"""Takes batches from the spool to the server, one after another, until it has them."""

import random
import threading
import time
from collections.abc import Callable

from argus_client.collect.counts import Counts
from argus_client.collect.spool import Spool
from argus_client.errors import ArgusClientError, InvalidRequest, LimitExceeded, ServerUnavailable
from argus_client.retry import Backoff
from argus_grpc.v1.ingest_pb2 import IngestEventsRequest, IngestEventsResponse

SendBatch = Callable[[IngestEventsRequest], IngestEventsResponse]
"""Sends a batch, once: the sender has its own rule for trying again, which is for ever."""

_BACKOFF = Backoff(first_s=0.2, max_s=5.0)
_WAIT_S = 0.2


class Sender:
    """Sends what is in the spool.

    say: called with a sentence when the server does not take it, once each outage, and when it does
        again.
    """

    def __init__(self, spool: Spool, send: SendBatch, counts: Counts, say: Callable[[str], None]) -> None:
        self._spool = spool
        self._send = send
        self._counts = counts
        self._say = say
        self._failures = 0
        self._told: str | None = None
        self._stopping = threading.Event()
        self._end_s = 0.0

    def stop(self, within_s: float) -> None:
        """Makes `run` return when the spool is empty, the server does not take a batch, or it is time."""
        self._end_s = time.monotonic() + within_s
        self._stopping.set()

    def run(self) -> None:
        """Sends until it is stopped. Raises OutputError if the spool fails."""
        while not (self._stopping.is_set() and time.monotonic() >= self._end_s):
            is_last_look = self._stopping.is_set()
            batch = self._spool.first(0 if is_last_look else _WAIT_S)
            if batch is None:
                if is_last_look:
                    return
                continue
            try:
                self._send(batch.request)
            except InvalidRequest as error:
                self._spool.refused(batch, str(error))
            except ArgusClientError as error:
                if is_last_look:
                    return
                self._wait(error)
                continue
            else:
                self._counts.stored += batch.events
                self._spool.sent(batch)
            self._failures = 0
            if self._told is not None:
                self._told = None
                self._say("the server takes events again")

    def _wait(self, error: ArgusClientError) -> None:
        self._failures += 1
        # The server's words may change with each try, which is no news.
        if self._told != type(error).__name__:
            self._told = type(error).__name__
            self._say(f"{error}; events wait in {self._spool.folder}")
            for note in getattr(error, "__notes__", ()):
                self._say(note)
        least_s = error.retry_after_s if isinstance(error, LimitExceeded | ServerUnavailable) else None
        self._stopping.wait((least_s or 0.0) + _BACKOFF.wait_s(self._failures, random.random()))
