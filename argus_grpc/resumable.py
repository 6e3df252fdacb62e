"""What an export tells of itself and of where it stands, whatever its rows are."""

import time
from typing import Generic

from argus_grpc.access.granted import GrantedQuery
from argus_grpc.store import DuckDbStore
from argus_grpc.tokens import Position, TokenMaker


class Resumable(Generic[Position]):
    """An export of a snapshot, with a token for the place after each batch.

    Whoever derives from it calls `_begin_at` before anything but the watermark and the store is asked for,
    and moves `_position` on with what is handed out.
    """

    _start: Position
    _position: Position
    _rows_left: int
    """How many rows match from the start of this stream on."""
    _rows_to_send: int
    """How many of them the limit lets through."""

    def __init__(
        self,
        kind: type[Position],
        granted: GrantedQuery,
        request_digest: str,
        store: DuckDbStore,
        tokens: TokenMaker,
        token: str,
    ) -> None:
        """token: where to go on; empty: a new export. Raises InvalidToken, TokenExpired."""
        self._store = store
        self._tokens = tokens
        self._resumed: Position | None = (
            tokens.check(token, kind, request_digest, store.store_id, now_s=int(time.time()))
            if token
            else None
        )
        self.watermark = self._resumed.watermark if self._resumed else store.watermark
        # By the clock of a replica that is behind, the export has not begun yet.
        self._granted = (
            granted.at(max(granted.at_ns, self._resumed.exported_at_ns)) if self._resumed else granted
        )

    def _begin_at(self, start: Position, rows_left: int, max_rows: int | None) -> None:
        self._start = self._position = start
        self._rows_left = rows_left
        self._rows_to_send = rows_left if max_rows is None else min(rows_left, max_rows)

    @property
    def granted_at_first(self) -> GrantedQuery:
        """What the caller's role left of the query when the export began: what all of it holds."""
        return self._granted.at(self.exported_at_ns)

    @property
    def store_id(self) -> str:
        return self._store.store_id

    @property
    def export_id(self) -> str:
        return self._start.export_id

    @property
    def exported_at_ns(self) -> int:
        return self._start.exported_at_ns

    @property
    def first_row(self) -> int:
        """How many rows came before this stream."""
        return self._start.rows_sent

    @property
    def total_rows(self) -> int:
        """How many rows the export has from its start to its end, the limit counted in."""
        return self._start.rows_sent + self._rows_to_send

    @property
    def rows_sent(self) -> int:
        """How many rows have been handed out, from the export's start."""
        return self._position.rows_sent

    @property
    def rows_remaining(self) -> int:
        """How many matching rows have not been handed out."""
        return self._start.rows_sent + self._rows_left - self._position.rows_sent

    def resume_token(self) -> str:
        """A token for the place after the last batch handed out."""
        return self._tokens.make(self._position, now_s=int(time.time()))
