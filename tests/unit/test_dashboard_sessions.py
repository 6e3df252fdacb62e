"""Sessions, callers and tries, by a clock of the test's."""

import asyncio
import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argus_dashboard.callers import KNOWN_S, NOBODY, Caller, KnownCallers, is_token, name_of
from argus_dashboard.problems import Problem
from argus_dashboard.sessions import (
    MAX_AGE_S,
    MAX_IDLE_S,
    MAX_SESSIONS,
    MAX_SESSIONS_OF_ONE,
    Session,
    Sessions,
)
from argus_dashboard.tries import MAX_PEERS, MAX_TRIES, MAX_TRIES_OF_PEER, WINDOW_S, Tries


class Clock:
    now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sessions(clock: Clock) -> Sessions:
    return Sessions(clock)


def test_each_sign_in_has_an_id_of_its_own_which_is_not_kept(sessions: Sessions) -> None:
    ids = {sessions.begin(f"token {number}") for number in range(100)}
    assert len(ids) == 100
    kept = repr(vars(sessions))
    assert not any(id in kept for id in ids)


def test_a_session_that_is_used_lasts_a_day_and_no_longer(sessions: Sessions, clock: Clock) -> None:
    id = sessions.begin("token")
    for _ in range(3):
        clock.now_s += MAX_IDLE_S - 1
        assert sessions.find(id) is not None
    clock.now_s = 1_000.0 + MAX_AGE_S
    assert sessions.find(id) is None


def test_one_that_is_not_used_is_over_after_eight_hours(sessions: Sessions, clock: Clock) -> None:
    id = sessions.begin("token")
    clock.now_s += MAX_IDLE_S
    assert sessions.find(id) is None
    clock.now_s -= 1
    assert sessions.find(id) is None


def test_their_number_is_bounded_and_the_one_longest_unused_goes(sessions: Sessions) -> None:
    ids = [sessions.begin(f"{number}") for number in range(MAX_SESSIONS)]
    assert sessions.find(ids[0])
    sessions.begin("one more")
    assert sessions.find(ids[0])
    assert sessions.find(ids[1]) is None
    assert sessions.find(ids[2])


def test_one_token_puts_out_no_other_persons_session(sessions: Sessions) -> None:
    others = sessions.begin("another's")
    ids = [sessions.begin("token") for _ in range(MAX_SESSIONS)]
    assert sessions.find(others)
    assert [id for id in ids if sessions.find(id)] == ids[-MAX_SESSIONS_OF_ONE:]


def test_tokens_of_sessions_that_are_over_are_forgotten(sessions: Sessions, clock: Clock) -> None:
    sessions.begin("the first token")
    clock.now_s += MAX_IDLE_S
    sessions.begin("the second token")
    kept = repr(sessions._by_key)
    assert "the second token" in kept
    assert "the first token" not in kept


def test_whoever_waits_for_its_end_is_woken(sessions: Sessions, clock: Clock) -> None:
    async def wait_for_both() -> None:
        ended, old = (_found(sessions, sessions.begin("token")) for _ in range(2))
        waits = [asyncio.ensure_future(sessions.wait_until_over(session)) for session in (ended, old)]
        await asyncio.sleep(0)
        sessions.end(ended)
        await waits[0]
        assert not waits[1].done()
        waits[1].cancel()
        clock.now_s += MAX_AGE_S
        await asyncio.wait_for(sessions.wait_until_over(old), 10)

    asyncio.run(wait_for_both())


def _found(sessions: Sessions, id: str) -> Session:
    session = sessions.find(id)
    assert session is not None
    return session


def test_tries_are_refused_until_the_first_is_a_minute_old(clock: Clock) -> None:
    tries = Tries(clock)
    for _ in range(MAX_TRIES):
        tries.count("192.0.2.1", "token")
        clock.now_s += 1
    for _ in range(3):
        with pytest.raises(Problem) as caught:
            tries.count("192.0.2.1", "token")
        assert caught.value.headers["Retry-After"] == str(int(WINDOW_S - MAX_TRIES))
    tries.count("192.0.2.2", "token")
    clock.now_s += WINDOW_S - MAX_TRIES
    tries.count("192.0.2.1", "token")
    with pytest.raises(Problem):
        tries.count("192.0.2.1", "token")


def test_one_token_too_often_leaves_the_address_to_others_until_they_are_many(clock: Clock) -> None:
    tries = Tries(clock)
    for _ in range(MAX_TRIES):
        tries.count("192.0.2.1", "garbage")
    with pytest.raises(Problem):
        tries.count("192.0.2.1", "garbage")
    for number in range(MAX_TRIES_OF_PEER - MAX_TRIES):
        tries.count("192.0.2.1", f"token {number}")
    with pytest.raises(Problem) as caught:
        tries.count("192.0.2.1", "another")
    assert str(MAX_TRIES_OF_PEER) in caught.value.detail


def test_what_succeeds_is_not_counted(clock: Clock) -> None:
    tries = Tries(clock)
    for _ in range(2 * MAX_TRIES_OF_PEER):
        tries.take_back(tries.count("192.0.2.1", "token"))
    assert not any(tries._by_peer.values())


def test_a_caller_is_known_for_a_few_seconds_and_until_refused(clock: Clock) -> None:
    known, caller = KnownCallers(clock), Caller("token")
    known.add(caller)
    assert caller in known
    assert NOBODY not in known
    clock.now_s += KNOWN_S
    assert caller not in known
    known.add(caller)
    known.discard(caller)
    assert caller not in known
    for number in range(2_000):
        known.add(Caller(f"token {number}"))
    assert len(known._until_s) == 1_000


def test_an_ipv6_network_is_one_and_a_mapped_address_is_the_ipv4_one(clock: Clock) -> None:
    tries = Tries(clock)
    for number in range(MAX_TRIES):
        tries.count(f"2001:db8::{number:x}", "token")
        tries.count("::ffff:192.0.2.1" if number % 2 else "192.0.2.1", "token")
    for host in ("2001:db8::ffff:1", "192.0.2.1", "::ffff:192.0.2.1"):
        with pytest.raises(Problem):
            tries.count(host, "token")
    tries.count("2001:db8:0:1::1", "token")


def test_their_memory_is_bounded(clock: Clock) -> None:
    tries = Tries(clock)
    for number in range(MAX_PEERS + 100):
        tries.count(f"peer {number}", "token")
    assert len(tries._by_peer) == MAX_PEERS


def jwt(**claims: object) -> str:
    parts = (json.dumps(part).encode() for part in ({"alg": "ES256"}, claims))
    return ".".join([*(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts), "AAAA"])


@pytest.mark.parametrize(
    ("token", "name"),
    [
        ("argus_0123456789abcdef_secret", "token 0123456789abcdef"),
        (jwt(sub="ada"), "ada"),
        (jwt(sub="248289761001", email="ada@example.org"), "ada@example.org"),
        (jwt(sub=["ada"]), "a token"),
        (jwt(sub="a" * 1_000), "a" * 60),
        ("opaque", "a token"),
        ("a.b.c", "a token"),
    ],
)
def test_who_is_signed_in_is_shown_without_the_secret(token: str, name: str) -> None:
    assert name_of(token) == name


@given(st.text() | st.from_regex(r"[\w-]*\.[\w-]*\.[\w-]*", fullmatch=True))
def test_any_token_has_a_name(token: str) -> None:
    assert 0 < len(name_of(token)) <= 60


@pytest.mark.parametrize("text", ["", "a b", "a\nb", "é", "=", "a=b", "x" * 6_145])
def test_what_cannot_be_a_token_is_known(text: str) -> None:
    assert not is_token(text)
    assert is_token("argus_0123_-._~+/==")
