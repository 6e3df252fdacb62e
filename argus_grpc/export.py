"""An export: query and snapshot → ordered, bounded, resumable batches of stored events."""

import hashlib
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Self

import pyarrow as pa

from argus_grpc.columns import Column
from argus_grpc.errors import EventsRemoved
from argus_grpc.ordering import OrderedWindow
from argus_grpc.query import matching
from argus_grpc.store import DuckDbStore
from argus_grpc.tokens import ExportPosition, TokenMaker
from argus_grpc.v1.export_pb2 import Order
from argus_grpc.v1.query_pb2 import EventQuery
from argus_grpc.windows import position

# A window is sorted and held as a whole while the next one is read, so these, and its share of the
# memory budget, bound an export's memory. The first is small so that the first batch comes at once,
# and so that the rows' width is known before it matters.
FIRST_WINDOW_ROWS = 4_096
MAX_WINDOW_ROWS = 262_144
MAX_WINDOW_BYTES = 16 * 1024 * 1024
MIN_WINDOW_BYTES = 256 * 1024
_WINDOWS_HELD = 2
_WINDOW_GROWTH = 8

# Above this a batch is cut in two. The wire may need 1.4 times what Arrow and _EVENT_BYTES do, and
# gRPC's default limit is 4 MiB.
MAX_BATCH_BYTES = 5 * 1024 * 1024 // 2
# What every event is reckoned to take beside its values: of few narrow columns, tags and lengths are
# the greater part.
_EVENT_BYTES = 16


@dataclass(frozen=True)
class ExportRequest:
    """What is asked for, checked: columns chosen, order settled, max_rows None for no limit."""

    query: EventQuery
    columns: tuple[Column, ...]
    order: "Order.ValueType"
    max_rows: int | None
    max_batch_bytes: int

    @property
    def digest(self) -> str:
        """Names what a resume token is bound to: query, columns and order."""
        names = [column.name for column in self.columns]
        bound = repr((self.query.SerializeToString(deterministic=True), names, int(self.order)))
        return hashlib.sha256(bound.encode()).hexdigest()[:32]


@dataclass(frozen=True)
class Batch:
    """Some events of an export, in order, with the place before the first and after the last."""

    events: pa.RecordBatch
    first_row: int
    resume_token: str


class MemoryBudget:
    """The bytes that all running exports share for their windows, evenly."""

    def __init__(self, total_bytes: int) -> None:
        self._total_bytes = total_bytes
        self._lock = threading.Lock()
        self._sharers = 0

    @contextmanager
    def share(self) -> Iterator[Callable[[], int]]:
        """A share, as long as it is held; calling it says how many bytes it is at the moment."""
        with self._lock:
            self._sharers += 1
        try:
            yield self._share_bytes
        finally:
            with self._lock:
                self._sharers -= 1

    def _share_bytes(self) -> int:
        return self._total_bytes // max(self._sharers, 1)


class WindowSize:
    """How many events a window should have: more and more, until they fill its memory."""

    def __init__(self, share_bytes: Callable[[], int]) -> None:
        """`share_bytes` says how many bytes the windows of one export may have now."""
        self._share_bytes = share_bytes
        self._rows = FIRST_WINDOW_ROWS

    def target_rows(self) -> int:
        return self._rows

    def was_read(self, events: pa.RecordBatch) -> None:
        if events.num_rows:
            window_bytes = max(MIN_WINDOW_BYTES, min(self._share_bytes() // _WINDOWS_HELD, MAX_WINDOW_BYTES))
            rows_that_fit = window_bytes * events.num_rows // events.nbytes
            grown = max(self._rows, events.num_rows * _WINDOW_GROWTH)
            self._rows = max(1, min(rows_that_fit, grown, MAX_WINDOW_ROWS))


class Export:
    """One export: its facts at once, its batches as they are asked for. Close it, or use `with`.

    To be used by one thread; only `cancel` may be called from others.
    """

    def __init__(
        self,
        request: ExportRequest,
        store: DuckDbStore,
        tokens: TokenMaker,
        share_bytes: Callable[[], int],
        resume_token: str,
    ) -> None:
        """`share_bytes` says how many bytes this export may hold now. Raises InvalidToken, TokenExpired."""
        self._share_bytes = share_bytes
        self._request = request
        self._tokens = tokens
        self.store_id = store.store_id
        self._resumed = (
            tokens.check(resume_token, request.digest, store.store_id, now_s=int(time.time()))
            if resume_token
            else None
        )
        self.watermark = self._resumed.watermark if self._resumed else store.watermark
        self._selection = store.select(matching(request.query), self.watermark, request.order)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._selection.close()

    def cancel(self) -> None:
        """Stops the running query; what goes on with the export raises Cancelled."""
        self._selection.cancel()

    def begin(self) -> None:
        """Counts the events; to be called first. Raises Cancelled, EventsRemoved."""
        if self._resumed:
            self._start = self._resumed
            self._matching_left = self._selection.count(self._start.next_position, self._start.end_position)
            if self._start.rows_sent + self._matching_left != self._start.matching_rows:
                raise EventsRemoved
        else:
            self._start = self._first_position()
            self._matching_left = self._start.matching_rows
        self._position = self._start
        limit = self._request.max_rows
        self._rows_to_send = self._matching_left if limit is None else min(self._matching_left, limit)

    @property
    def removed_events(self) -> int:
        """How many events the store had once and has no more: its first."""
        return self._selection.removed_through

    @property
    def export_id(self) -> str:
        return self._start.export_id

    @property
    def exported_at_ns(self) -> int:
        return self._start.exported_at_ns

    @property
    def first_row(self) -> int:
        """How many events came before this stream."""
        return self._start.rows_sent

    @property
    def total_rows(self) -> int:
        """How many events the export has from its start to its end, the limit counted in."""
        return self._start.rows_sent + self._rows_to_send

    @property
    def rows_sent(self) -> int:
        """How many events have been handed out, from the export's start."""
        return self._position.rows_sent

    @property
    def rows_remaining(self) -> int:
        """How many matching events have not been handed out."""
        return self._start.rows_sent + self._matching_left - self._position.rows_sent

    def resume_token(self) -> str:
        """A token for the place after the last batch handed out."""
        return self._tokens.make(self._position, now_s=int(time.time()))

    def batches(self) -> Iterator[Batch]:
        """The export's events from its start on. Raises Cancelled, EventsRemoved."""
        wanted = self._rows_to_send
        names = [column.name for column in self._request.columns]
        windows = self._selection.windows(
            names,
            self._start.next_position,
            self._start.end_position,
            self._matching_left,
            wanted,
            WindowSize(self._share_bytes),
        )
        while wanted:
            window = next(windows, None)
            if window is None:
                raise EventsRemoved
            rows = min(wanted, window.num_rows)
            wanted -= rows
            yield from self._hand_out(window, rows)

    def _first_position(self) -> ExportPosition:
        extent = self._selection.bounds()
        if self._request.order == Order.ORDER_TIME and extent.timestamps_ns:
            first_timestamp_ns, last_timestamp_ns = extent.timestamps_ns
            first = position(first_timestamp_ns, 0)
            end = position(last_timestamp_ns, self.watermark) + 1
        else:
            first, end = self._request.query.after_sequence + 1, self.watermark + 1
        return ExportPosition(
            export_id=secrets.token_hex(8),
            exported_at_ns=time.time_ns(),
            request_digest=self._request.digest,
            store_id=self.store_id,
            watermark=self.watermark,
            matching_rows=extent.row_count,
            rows_sent=0,
            next_position=first,
            end_position=end,
        )

    def _hand_out(self, window: OrderedWindow, rows: int) -> Iterator[Batch]:
        """The window's first rows as batches."""
        handed_out = 0
        for part in slice_by_bytes(window, rows, self._request.max_batch_bytes):
            handed_out += part.num_rows
            first_row = self._position.rows_sent
            self._position = replace(
                self._position,
                rows_sent=first_row + part.num_rows,
                next_position=window.position(handed_out - 1) + 1,
            )
            yield Batch(part, first_row, self.resume_token())


def slice_by_bytes(window: OrderedWindow, rows: int, max_bytes: int) -> Iterator[pa.RecordBatch]:
    """The window's first rows in slices of about max_bytes, under MAX_BATCH_BYTES or of one event."""
    step = max(1, window.num_rows * max_bytes // _size_bytes(window))
    for start in range(0, rows, step):
        part = window.slice(start, min(step, rows - start))
        yield from _halve_large(part, min(2 * max_bytes, MAX_BATCH_BYTES))


def _halve_large(part: pa.RecordBatch, max_bytes: int) -> Iterator[pa.RecordBatch]:
    if part.num_rows == 1 or _size_bytes(part) <= max_bytes:
        yield part
        return
    half = part.num_rows // 2
    yield from _halve_large(part.slice(0, half), max_bytes)
    yield from _halve_large(part.slice(half), max_bytes)


def _size_bytes(events: OrderedWindow | pa.RecordBatch) -> int:
    return int(events.nbytes) + _EVENT_BYTES * int(events.num_rows)
