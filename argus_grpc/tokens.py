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

from argus_grpc.errors import InvalidToken, TokenExpired

_FORMAT = b"\x01"
_MAC_BYTES = 16


@dataclass(frozen=True)
class ExportPosition:
    """Where an export stands: all that is needed to go on with exactly the rest."""

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


class TokenMaker:
    """Makes and checks tokens with one key; every replica of a service is given the same.

    `lifetime_s` counts from a token's making. `now_s` is the clock, in seconds since the epoch.
    """

    def __init__(self, key: bytes, lifetime_s: int) -> None:
        self._key = key
        self._lifetime_s = lifetime_s

    def make(self, position: ExportPosition, now_s: int) -> str:
        expires_s = now_s + self._lifetime_s
        body = _FORMAT + json.dumps([expires_s, *astuple(position)], separators=(",", ":")).encode()
        return base64.urlsafe_b64encode(body + self._mac(body)).rstrip(b"=").decode()

    def check(self, token: str, request_digest: str, store_id: str, now_s: int) -> ExportPosition:
        """The position of a token of ours for this request and store.

        Raises InvalidToken if it is not one of ours, or for another request or store, TokenExpired if
        its time is over.
        """
        try:
            raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            raise InvalidToken("resume_token is not a token of this service") from None
        body, mac = raw[:-_MAC_BYTES], raw[-_MAC_BYTES:]
        if not hmac.compare_digest(mac, self._mac(body)) or not body.startswith(_FORMAT):
            raise InvalidToken("resume_token is not a token of this service")
        expires_s, *fields = json.loads(body[len(_FORMAT) :])
        position = ExportPosition(*fields)
        if now_s >= expires_s:
            raise TokenExpired("resume_token has expired; start the export anew")
        if position.store_id != store_id:
            raise InvalidToken("resume_token is for another store than this server has")
        if position.request_digest != request_digest:
            raise InvalidToken(
                "resume_token is for another request; query, columns and order must be those it was made for"
            )
        return position

    def _mac(self, body: bytes) -> bytes:
        return hmac.digest(self._key, body, hashlib.sha256)[:_MAC_BYTES]
