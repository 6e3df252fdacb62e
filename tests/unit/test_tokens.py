"""Resume tokens hold for what they were made for, and for nothing else."""

import base64
import hmac
import json
from dataclasses import astuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argus_grpc.errors import InvalidToken, TokenExpired
from argus_grpc.tokens import ExportPosition, TokenMaker

POSITION = ExportPosition(
    export_id="e1",
    exported_at_ns=1_704_067_200_000_000_001,
    request_digest="digest",
    store_id="store",
    watermark=7,
    matching_rows=5,
    rows_sent=2,
    next_position=-(2**100),
    end_position=2**126,
)
TOKENS = TokenMaker(b"k" * 32, lifetime_s=60)


def test_a_token_gives_its_position_back_and_is_url_safe() -> None:
    token = TOKENS.make(POSITION, now_s=1000)
    assert TOKENS.check(token, ExportPosition, "digest", "store", now_s=1059) == POSITION
    assert set(token) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


def test_a_token_of_before_exports_could_be_followed_still_holds() -> None:
    body = b"\x01" + json.dumps([2000, *astuple(POSITION)[:9]], separators=(",", ":")).encode()
    mac = hmac.digest(b"k" * 32, body, "sha256")[:16]
    token = base64.urlsafe_b64encode(body + mac).rstrip(b"=").decode()
    assert TOKENS.check(token, ExportPosition, "digest", "store", now_s=1000) == POSITION
    assert not POSITION.is_round


def test_an_expired_token_is_refused_as_expired() -> None:
    with pytest.raises(TokenExpired):
        TOKENS.check(TOKENS.make(POSITION, now_s=1000), ExportPosition, "digest", "store", now_s=1060)


def test_another_requests_token_is_refused_and_says_so() -> None:
    with pytest.raises(InvalidToken, match="for another request"):
        TOKENS.check(TOKENS.make(POSITION, now_s=1000), ExportPosition, "other", "store", now_s=1000)


def test_another_stores_token_is_refused_and_says_so() -> None:
    with pytest.raises(InvalidToken, match="for another store"):
        TOKENS.check(TOKENS.make(POSITION, now_s=1000), ExportPosition, "digest", "other", now_s=1000)


def test_another_keys_token_is_refused() -> None:
    foreign = TokenMaker(b"x" * 32, lifetime_s=60).make(POSITION, now_s=1000)
    with pytest.raises(InvalidToken, match="not a token of this service"):
        TOKENS.check(foreign, ExportPosition, "digest", "store", now_s=1000)


@given(text=st.text(max_size=300))
def test_any_other_text_is_refused(text: str) -> None:
    with pytest.raises(InvalidToken):
        TOKENS.check(text, ExportPosition, "digest", "store", now_s=1000)


@given(data=st.data())
def test_a_token_with_any_character_changed_never_gives_another_position(data: st.DataObject) -> None:
    token = TOKENS.make(POSITION, now_s=1000)
    place = data.draw(st.integers(0, len(token) - 1))
    changed = token[:place] + data.draw(st.characters()) + token[place + 1 :]
    try:
        # The last character's unused bits are the one thing that may differ.
        assert TOKENS.check(changed, ExportPosition, "digest", "store", now_s=1000) == POSITION
    except InvalidToken:
        assert changed != token
    else:
        assert changed[:-1] == token[:-1]
