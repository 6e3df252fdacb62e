"""Resume tokens: only those that were made are taken."""

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from argus_grpc.errors import InvalidToken, TokenExpired
from argus_grpc.tokens import ExportPosition, GroupsPosition, TokenMaker
from tests.fuzz.door import Attempt, Door

_TOKENS = TokenMaker(b"k" * 32, lifetime_s=3600)
_NOW_S = 1_704_067_200
_POSITIONS: tuple[ExportPosition | GroupsPosition, ...] = (
    ExportPosition("export-1", 1, "digest", "store", 9, 9, 3, 4, 2**126),
    ExportPosition("export-2", 1, "digest", "store", 9, 9, 3, 4, 5, is_round=True),
    GroupsPosition("export-3", 1, "digest", "store", 9, 9, 3),
)
_MADE = {_TOKENS.make(position, now_s=_NOW_S): position for position in _POSITIONS}


@contextmanager
def _open() -> Iterator[Attempt]:
    yield _attempt


def _attempt(data: bytes) -> None:
    # A request has no text but UTF-8.
    token = data.decode(errors="replace")
    kind: Any
    for kind in (ExportPosition, GroupsPosition):
        try:
            position: Any = _TOKENS.check(token, kind, "digest", "store", now_s=_NOW_S)
        except (InvalidToken, TokenExpired):
            continue
        assert position in [made for text, made in _MADE.items() if _raw(text) == _raw(token)], (
            "a forged token"
        )


def _raw(token: str) -> bytes:
    return base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))


def _seeds() -> Iterator[bytes]:
    yield from (token.encode() for token in _MADE)
    expired = _TOKENS.make(_POSITIONS[0], now_s=0)
    others = TokenMaker(b"other" * 8, lifetime_s=3600).make(_POSITIONS[0], now_s=_NOW_S)
    yield from (expired.encode(), others.encode(), b"", b"=", b"A", "é".encode())


DOOR = Door(open=_open, seeds=_seeds, words=(b"=", b"-", b"_", b"AQ", b"Ag"), follows=("argus_grpc.tokens",))
