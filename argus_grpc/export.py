"""An export: query and snapshot → ordered, bounded, resumable batches of stored events."""

import hashlib
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Self

import pyarrow as pa

from argus_grpc.access.granted import GrantedQuery
from argus_grpc.bounds import WindowSize, slice_by_bytes
from argus_grpc.columns import Column
from argus_grpc.errors import EventsMissed, EventsRemoved, OutOfReach
from argus_grpc.ordering import OrderedWindow
from argus_grpc.query import matching
from argus_grpc.resumable import Resumable
from argus_grpc.store import CompiledQuery, DuckDbStore
from argus_grpc.tokens import ExportPosition, TokenMaker
from argus_grpc.v1.export_pb2 import Order
from argus_grpc.windows import position


@dataclass(frozen=True)
class ExportRequest:
    """What is asked for, checked: columns chosen, order settled, max_rows None for no limit."""

    granted: GrantedQuery
    columns: tuple[Column, ...]
    order: "Order.ValueType"
    max_rows: int | None
    max_batch_bytes: int

    @property
    def digest(self) -> str:
        """Names what a resume token is bound to: query, caller and role, columns and order."""
        names = [column.name for column in self.columns]
        bound = repr((self.granted.digest, names, int(self.order)))
        return hashlib.sha256(bound.encode()).hexdigest()[:32]


@dataclass(frozen=True)
class Batch:
    """Some events of an export, in order, with the place before the first and after the last."""

    events: pa.RecordBatch
    first_row: int
    resume_token: str


class Export(Resumable[ExportPosition]):
    """One export: its facts at once, its batches as they are asked for. Close it, or use `with`.

    An export that is followed goes on in rounds. Each is an export as well: of what has come since the
    one before it, in order of arrival, and rows are counted on.

    To be used by one thread; only `cancel` may be called from others.
    """

    def __init__(
        self,
        request: ExportRequest,
        store: DuckDbStore,
        tokens: TokenMaker,
        share_bytes: Callable[[], int],
        resume_token: str = "",
        *,
        follows: "Export | None" = None,
    ) -> None:
        """share_bytes: says how many bytes this export may hold now.
        resume_token: where to go on; empty: a new export.
        follows: the export, or round, at its end, that this is the next round of.

        Raises InvalidToken, TokenExpired.
        """
        super().__init__(ExportPosition, request.granted, request.digest, store, tokens, resume_token)
        self._share_bytes = share_bytes
        self._request = request
        self._last = follows.end if follows else None
        is_round = follows is not None or (self._resumed is not None and self._resumed.is_round)
        self._order = Order.ORDER_ARRIVAL if is_round else request.order
        if follows:
            self._granted = request.granted.at(time.time_ns())
        self._matching: CompiledQuery = (
            follows._matching
            if follows and follows._granted is self._granted
            else store.compile(lambda: matching(self._granted))
        )
        self._selection = store.select(self._matching, self.watermark, self._order)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._selection.close()

    def cancel(self) -> None:
        """Stops the running query; what goes on with the export raises Cancelled."""
        self._selection.cancel()

    def begin(self) -> None:
        """Counts the events; to be called first.

        Raises Cancelled, EventsMissed, EventsRemoved, OutOfReach.
        """
        if self._resumed:
            start = self._resumed
            # A store that ends before it is an older copy, which gives the same sequences to other events.
            if self._store.watermark < self.watermark:
                raise EventsRemoved
            rows_left = self._selection.count(start.next_position, start.end_position)
            if start.rows_sent + rows_left != start.matching_rows:
                raise self._lost(start)
        else:
            start = self._after(self._last) if self._last else self._first_position()
            rows_left = start.matching_rows - start.rows_sent
        self._begin_at(start, rows_left, self._request.max_rows)

    @property
    def removed_events(self) -> int:
        """How many events the store had once and has no more: its first."""
        return self._selection.removed_through

    @property
    def end(self) -> ExportPosition:
        """The place behind all of it, which it has come to when all batches have been handed out."""
        return replace(self._position, next_position=self._position.end_position)

    def batches(self) -> Iterator[Batch]:
        """The export's events from its start on. Raises Cancelled, EventsRemoved."""
        wanted = self._rows_to_send
        names = [column.name for column in self._request.columns]
        windows = self._selection.windows(
            names,
            self._start.next_position,
            self._start.end_position,
            self._rows_left,
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
        after_sequence = self._granted.query.after_sequence
        if 0 < after_sequence < extent.removed_through:
            raise EventsMissed(after_sequence, extent.removed_through)
        if self._order == Order.ORDER_TIME and extent.timestamps_ns:
            first_timestamp_ns, last_timestamp_ns = extent.timestamps_ns
            first = position(first_timestamp_ns, 0)
            end = position(last_timestamp_ns, self.watermark) + 1
        else:
            first, end = after_sequence + 1, self.watermark + 1
        return ExportPosition(
            export_id=secrets.token_hex(8),
            exported_at_ns=self._granted.at_ns,
            request_digest=self._request.digest,
            store_id=self.store_id,
            watermark=self.watermark,
            matching_rows=extent.row_count,
            rows_sent=0,
            next_position=first,
            end_position=end,
        )

    def _lost(self, start: ExportPosition) -> EventsRemoved | OutOfReach:
        """Why events that were counted are not there."""
        at_first = self._granted.at(start.exported_at_ns)
        if at_first is not self._granted:
            compiled = self._store.compile(lambda: matching(at_first))
            with self._store.select(compiled, self.watermark, self._order) as selection:
                rows_left = selection.count(start.next_position, start.end_position)
            if start.rows_sent + rows_left >= start.matching_rows:
                return OutOfReach()
        return EventsRemoved()

    def _after(self, last: ExportPosition) -> ExportPosition:
        first, end = last.watermark + 1, self.watermark + 1
        rows = self._selection.count(first, end)
        # After the count, since what is removed before it is missing in it.
        if self._selection.removed_through >= first:
            raise EventsRemoved
        return replace(
            last,
            is_round=True,
            watermark=self.watermark,
            matching_rows=last.rows_sent + rows,
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
