"""Resume tokens: made, and checked. A token says where an export stands and for what request.

The text is URL-safe base64 of a format byte, a JSON list and an HMAC-SHA256 over both. It is
opaque to callers, who could change neither part without the key.
"""

import base64
import binascii
import hashlib
import hmac
import json
from dataclasses import astuple, dataclass
from typing import ClassVar, TypeVar

from argus_grpc.errors import InvalidToken, TokenExpired

_MAC_BYTES = 16


@dataclass(frozen=True)
class ExportPosition:
    """Where an export stands: all that is needed to go on with exactly the rest."""

    FORMAT: ClassVar[bytes] = b"\x01"
    BOUND_TO: ClassVar[str] = "query, columns and order"

    export_id: str
    exported_at_ns: int
    request_digest: str
    store_id: str
    watermark: int
    matching_rows: int
    """How many events the export has, from its start to the watermark."""
    rows_sent: int
    next_position: int
    """The least position that may not have been sent."""
    end_position: int
    """A position greater than that of any event of the export."""
    is_round: bool = False
    """Whether it is in a round of an export that is followed: all of it, and its positions, are then in
    order of arrival, and rows are those since the first export began."""


@dataclass(frozen=True)
class GroupsPosition:
    """Where an export of groups stands. They are in order, so how many were sent is the place."""

    FORMAT: ClassVar[bytes] = b"\x02"
    BOUND_TO: ClassVar[str] = "query, group_by and measures"

    export_id: str
    exported_at_ns: int
    request_digest: str
    store_id: str
    watermark: int
    matching_events: int
    """How many events are in the groups."""
    rows_sent: int


_FORMATS = (ExportPosition.FORMAT, GroupsPosition.FORMAT)
Position = TypeVar("Position", ExportPosition, GroupsPosition)


class TokenMaker:
    """Makes and checks tokens with one key; every replica of a service is given the same.

    `lifetime_s` counts from a token's making. `now_s` is the clock, in seconds since the epoch.
    """

    def __init__(self, key: bytes, lifetime_s: int) -> None:
        self._key = key
        self._lifetime_s = lifetime_s

    def make(self, position: ExportPosition | GroupsPosition, now_s: int) -> str:
        expires_s = now_s + self._lifetime_s
        body = position.FORMAT + json.dumps([expires_s, *astuple(position)], separators=(",", ":")).encode()
        return base64.urlsafe_b64encode(body + self._mac(body)).rstrip(b"=").decode()

    def check(
        self, token: str, kind: type[Position], request_digest: str, store_id: str, now_s: int
    ) -> Position:
        """The position, of this kind, of a token of ours for this request and store.

        Raises InvalidToken if it is not one of ours, or for another request or store, TokenExpired if
        its time is over.
        """
        try:
            raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            raise InvalidToken("resume_token is not a token of this service") from None
        body, mac = raw[:-_MAC_BYTES], raw[-_MAC_BYTES:]
        if not hmac.compare_digest(mac, self._mac(body)) or body[:1] not in _FORMATS:
            raise InvalidToken("resume_token is not a token of this service")
        for_another = (
            f"resume_token is for another request: {kind.BOUND_TO} must be those it was made for, and so must"
            " the caller and what the caller's role may see"
        )
        if not body.startswith(kind.FORMAT):
            raise InvalidToken(for_another)
        expires_s, *fields = json.loads(body[len(kind.FORMAT) :])
        position = kind(*fields)
        if now_s >= expires_s:
            raise TokenExpired("resume_token has expired; start the export anew")
        if position.store_id != store_id:
            raise InvalidToken("resume_token is for another store than this server has")
        if position.request_digest != request_digest:
            raise InvalidToken(for_another)
        return position

    def _mac(self, body: bytes) -> bytes:
        return hmac.digest(self._key, body, hashlib.sha256)[:_MAC_BYTES]
