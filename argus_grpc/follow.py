"""What one call sends: an export and, where it is followed, new events as they are committed."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from argus_grpc.bounds import MemoryBudget
from argus_grpc.errors import Cancelled
from argus_grpc.export import Batch, Export, ExportRequest
from argus_grpc.store import DuckDbStore
from argus_grpc.tokens import TokenMaker

ROUND_INTERVAL_S = 0.2
"""A follower begins no two rounds in less, since each takes some 8 ms of a core: what is committed
meanwhile comes together."""

HEARTBEAT_S = 5.0
"""How long a follower sends nothing."""


@dataclass(frozen=True)
class Reached:
    """Where a follower stands while there is nothing to send: behind all events up to the watermark."""

    rows_sent: int
    watermark: int
    resume_token: str


class Exporter:
    """Makes the exports of one call, one after another. While it waits for events it holds no memory and
    nothing of the database.

    To be used by one thread; only `cancel` may be called from others.
    """

    def __init__(
        self, request: ExportRequest, store: DuckDbStore, tokens: TokenMaker, budget: MemoryBudget
    ) -> None:
        self._request = request
        self._store = store
        self._tokens = tokens
        self._budget = budget
        self._lock = threading.Lock()
        self._running: Export | None = None
        self._cancelled = threading.Event()

    def cancel(self) -> None:
        """Stops what is running or waiting; what goes on with it raises Cancelled."""
        self._cancelled.set()
        with self._lock:
            if self._running is not None:
                self._running.cancel()
        self._store.wake_waiting()

    @contextmanager
    def export(self, resume_token: str = "", follows: Export | None = None) -> Iterator[Export]:
        """An export, begun. See Export.

        Raises Cancelled, EventsMissed, EventsRemoved, InvalidToken, TokenExpired.
        """
        with (
            self._budget.share() as share,
            Export(self._request, self._store, self._tokens, share, resume_token, follows=follows) as export,
        ):
            with self._lock:
                self._running = export
            try:
                self._raise_if_cancelled()
                export.begin()
                yield export
            finally:
                with self._lock:
                    self._running = None

    def follow(self, last: Export) -> Iterator[Batch | Reached]:
        """The matching events that come after the end of an export, in order of arrival, without an end;
        where it stands at first, and while there is nothing to send.

        Raises Cancelled, EventsRemoved, and StoreUnavailable when the server stops.
        """
        sent_s = -HEARTBEAT_S
        while True:
            if time.monotonic() - sent_s >= HEARTBEAT_S:
                token = self._tokens.make(last.end, now_s=int(time.time()))
                yield Reached(last.rows_sent, last.watermark, token)
                sent_s = time.monotonic()
            self._wait_for_commit(last.watermark, sent_s + HEARTBEAT_S - time.monotonic())
            if self._store.watermark == last.watermark:
                continue
            began_s = time.monotonic()
            with self.export(follows=last) as round_:
                yield from round_.batches()
            if round_.rows_sent > last.rows_sent:
                sent_s = time.monotonic()
            last = round_
            self._cancelled.wait(ROUND_INTERVAL_S - (time.monotonic() - began_s))

    def _wait_for_commit(self, after: int, timeout_s: float) -> None:
        self._store.wait_for_commit(after, timeout_s, self._cancelled.is_set)
        self._raise_if_cancelled()

    def _raise_if_cancelled(self) -> None:
        if self._cancelled.is_set():
            raise Cancelled
