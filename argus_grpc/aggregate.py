"""Events grouped: query and snapshot → ordered, bounded, resumable batches of groups."""

import hashlib
import secrets
from collections.abc import Iterator
from concurrent.futures import wait
from dataclasses import dataclass, replace
from typing import Self

import pyarrow as pa

from argus_grpc.access.granted import GrantedQuery
from argus_grpc.bounds import slice_by_bytes
from argus_grpc.errors import EventsMissed, EventsRemoved, OutOfReach, SumOverflow
from argus_grpc.grouping import Grouping, grouped
from argus_grpc.query import matching
from argus_grpc.resumable import Resumable
from argus_grpc.store import DuckDbStore, Totals
from argus_grpc.tokens import GroupsPosition, TokenMaker
from argus_grpc.v1.export_pb2 import Order


@dataclass(frozen=True)
class AggregateRequest:
    """What is asked for, checked; max_rows None for no limit."""

    granted: GrantedQuery
    grouping: Grouping
    max_rows: int | None
    max_batch_bytes: int

    @property
    def digest(self) -> str:
        """Names what a resume token is bound to: query, caller and role, keys and measures."""
        messages = (*self.grouping.group_by, None, *self.grouping.measures)
        grouping = [message and message.SerializeToString(deterministic=True) for message in messages]
        return hashlib.sha256(repr((self.granted.digest, grouping)).encode()).hexdigest()[:32]


@dataclass(frozen=True)
class GroupBatch:
    """Some groups, in order, with the place before the first and after the last."""

    groups: pa.RecordBatch
    first_row: int
    resume_token: str


class Aggregate(Resumable[GroupsPosition]):
    """One export of groups. Close it, or use `with`.

    To be used by one thread; only `cancel` may be called from others.
    """

    def __init__(
        self, request: AggregateRequest, store: DuckDbStore, tokens: TokenMaker, resume_token: str = ""
    ) -> None:
        """resume_token: where to go on; empty: a new export.

        Raises InvalidToken, TokenExpired.
        """
        super().__init__(GroupsPosition, request.granted, request.digest, store, tokens, resume_token)
        self._request = request
        self._grouped = store.group(lambda: grouped(self._granted, self.watermark, request.grouping))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._grouped.close()

    def cancel(self) -> None:
        """Stops the grouping; what goes on with it raises Cancelled."""
        self._grouped.cancel()

    def begin(self, heartbeat_s: float) -> Iterator[None]:
        """Groups the events; to be read to its end first. Gives a None every heartbeat_s until then.

        Raises Cancelled, EventsMissed, EventsRemoved, OutOfReach, SumOverflow, TooLarge.
        """
        first_row = self._resumed.rows_sent if self._resumed else 0
        computing = self._grouped.compute(
            self._request.grouping.schema, self._cut, first_row, self._request.max_rows
        )
        while wait([computing], heartbeat_s).not_done:
            yield None
        self._totals = computing.result()
        start = self._place(self._totals)
        self._begin_at(start, self._totals.groups - start.rows_sent, self._request.max_rows)

    def _place(self, totals: Totals) -> GroupsPosition:
        if self._resumed:
            # A store that ends before the watermark is an older copy, with other events.
            if self._store.watermark < self.watermark:
                raise EventsRemoved
            if totals.events != self._resumed.matching_events:
                raise self._lost(self._resumed)
            return self._resumed
        after_sequence = self._granted.query.after_sequence
        if 0 < after_sequence < self.removed_events:
            raise EventsMissed(after_sequence, self.removed_events)
        return GroupsPosition(
            export_id=secrets.token_hex(8),
            exported_at_ns=self._granted.at_ns,
            request_digest=self._request.digest,
            store_id=self.store_id,
            watermark=self.watermark,
            matching_events=totals.events,
            rows_sent=0,
        )

    def _lost(self, start: GroupsPosition) -> EventsRemoved | OutOfReach:
        """Why events that were grouped are not there."""
        at_first = self._granted.at(start.exported_at_ns)
        if at_first is not self._granted:
            compiled = self._store.compile(lambda: matching(at_first))
            with self._store.select(compiled, self.watermark, Order.ORDER_ARRIVAL) as selection:
                if selection.extent().row_count >= start.matching_events:
                    return OutOfReach()
        return EventsRemoved()

    @property
    def removed_events(self) -> int:
        """How many events the store had once and has no more: its first."""
        return min(self._totals.removed_through, self.watermark)

    @property
    def total_events(self) -> int:
        """How many events are in all the groups, whatever the limit."""
        return self._totals.events

    def batches(self) -> Iterator[GroupBatch]:
        """The groups from this stream's start on."""
        for groups in self._grouped.batches():
            first_row = self._position.rows_sent
            self._position = replace(self._position, rows_sent=first_row + groups.num_rows)
            yield GroupBatch(groups, first_row, self.resume_token())

    def _cut(self, groups: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
        """Batches that fit a message. Raises SumOverflow."""
        typed = pa.RecordBatch.from_arrays(
            [*map(self._typed, groups.schema.names, groups.columns)],
            schema=self._request.grouping.schema,
        )
        return slice_by_bytes(typed, typed.num_rows, self._request.max_batch_bytes)

    def _typed(self, name: str, values: pa.Array) -> pa.Array:
        type_ = self._request.grouping.schema.field(name).type
        try:
            return values.cast(type_)
        except pa.ArrowInvalid as error:
            # Only a sum has a wider type in the store.
            names = [column.name for column in self._request.grouping.columns]
            place = names.index(name) - len(self._request.grouping.key_columns)
            column = self._request.grouping.measures[place].column
            raise SumOverflow(f"measures[{place}]", column) from error
