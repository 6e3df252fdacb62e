"""The rule by which a cut export goes on, as a table of decisions: no clock, no network."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argus_client import (
    ArgusClientError,
    BrokenExport,
    InvalidRequest,
    LimitExceeded,
    NotAllowed,
    NotSignedIn,
    OutputError,
    ResumeRefused,
    ServerError,
    ServerUnavailable,
)
from argus_client.retry import Backoff, Fail, RetryRule, RetryState, Wait, given_up

FRESH = RetryState()
BEGUN = RetryState(has_begun=True)
RULE = RetryRule(retry_for_s=60, backoff=Backoff(first_s=1, max_s=10))
GONE = ServerUnavailable("gone")


def wait(rule: RetryRule, state: RetryState, error: ArgusClientError, now_s: float, die: float = 1) -> Wait:
    decision = rule.after_failure(state, error, now_s, die)
    assert isinstance(decision, Wait)
    return decision


@pytest.mark.parametrize(
    "error",
    [
        InvalidRequest("UNAVAILABLE, try again"),
        NotAllowed("no"),
        NotSignedIn("the same token as before"),
        LimitExceeded("too many rows"),
        ResumeRefused("expired"),
        ServerError("CANCELLED, DEADLINE_EXCEEDED, INTERNAL, UNIMPLEMENTED"),
        BrokenExport("DATA_LOSS"),
        OutputError("disk full"),
    ],
)
@pytest.mark.parametrize("state", [FRESH, BEGUN])
def test_what_would_fail_again_is_not_tried_again(error: ArgusClientError, state: RetryState) -> None:
    assert RULE.after_failure(state, error, 0, 1) == Fail(tries=0)


def test_a_server_that_went_away_is_waited_for_once_the_export_has_begun() -> None:
    assert RULE.after_failure(FRESH, GONE, 0, 1) == Fail(tries=0)
    assert wait(RULE, FRESH.with_header(), GONE, 0).wait_s == 1
    assert wait(RULE, BEGUN, GONE, 0).attempt == 1


@pytest.mark.parametrize("state", [FRESH, BEGUN])
@pytest.mark.parametrize("error", [LimitExceeded("busy", 3.5), ServerUnavailable("draining", 3.5)])
def test_a_server_that_says_when_to_come_back_is_waited_for_in_any_case(
    state: RetryState, error: ArgusClientError
) -> None:
    assert wait(RULE, state, error, 0, die=0).wait_s == 3.5
    # Jitter comes on top: all that were sent away at once must not come back at once.
    assert wait(RULE, state, error, 0, die=0.5).wait_s == 4.0


def test_waits_double_up_to_the_greatest() -> None:
    state, waits = BEGUN, []
    for _ in range(7):
        decision = wait(RULE, state, GONE, 0)
        waits.append((decision.attempt, decision.wait_s))
        state = decision.state
    assert waits == [(1, 1), (2, 2), (3, 4), (4, 8), (5, 10), (6, 10), (7, 10)]


@given(st.integers(1, 10**6), st.floats(0, 1), st.floats(0, 1e3), st.floats(0, 1e3))
def test_jitter_is_full(attempt: int, die: float, first_s: float, max_s: float) -> None:
    backoff = Backoff(first_s, max_s)
    longest_s = backoff.wait_s(attempt, 1)
    assert 0 <= longest_s <= max_s
    assert backoff.wait_s(attempt, die) == die * longest_s
    assert backoff.wait_s(attempt + 1, 1) >= longest_s


def test_events_reset_the_tries_and_the_time_but_a_header_does_not() -> None:
    failing = wait(RULE, wait(RULE, BEGUN, GONE, 0).state, GONE, 50).state
    assert wait(RULE, failing.with_header(), GONE, 59).attempt == 3
    assert isinstance(RULE.after_failure(failing.with_header(), GONE, 60, 1), Fail)
    assert wait(RULE, failing.with_progress(), GONE, 1000) == wait(RULE, BEGUN, GONE, 1000)


def test_it_gives_up_when_the_time_without_progress_is_over_and_tries_once_more_just_then() -> None:
    state, now_s, waits = BEGUN, 1_000.0, []
    while True:
        decision = RULE.after_failure(state, GONE, now_s, 1)
        if isinstance(decision, Fail):
            break
        waits.append(decision.wait_s)
        now_s, state = now_s + decision.wait_s, decision.state
    assert waits == [1, 2, 4, 8, 10, 10, 10, 10, 5]
    assert now_s == 1_060
    assert decision.tries == len(waits)


def test_the_time_counts_from_the_first_failure_however_long_the_reader_took_before() -> None:
    assert wait(RULE, RetryState(has_begun=True), GONE, 10_000).state.failing_since_s == 10_000


def test_it_does_not_wait_when_the_server_asks_for_more_time_than_is_left() -> None:
    assert isinstance(RULE.after_failure(FRESH, LimitExceeded("busy", 60.5), 0, 0), Fail)
    assert wait(RULE, FRESH, LimitExceeded("busy", 60), 0).wait_s == 60
    failing = wait(RULE, FRESH, LimitExceeded("busy", 30), 0).state
    assert RULE.after_failure(failing, LimitExceeded("busy", 30), 31, 0) == Fail(tries=1, too_long_s=30)


def test_a_new_token_is_tried_once_and_at_once() -> None:
    error = NotSignedIn("no longer good", has_new_token=True)
    for state in (FRESH, BEGUN):
        decision = wait(RULE, state, error, 0)
        assert (decision.attempt, decision.wait_s) == (1, 0)
        assert RULE.after_failure(decision.state.with_header(), error, 0, 1) == Fail(tries=1)
        assert wait(RULE, decision.state.with_progress(), error, 0).wait_s == 0


def test_a_server_that_asks_for_a_new_call_gets_it_at_once_but_not_without_end() -> None:
    error = ServerUnavailable("what you may see has changed", 0.0)
    first = wait(RULE, BEGUN, error, 0)
    assert (first.attempt, first.wait_s) == (1, 0)
    assert wait(RULE, first.state, error, 0).wait_s == 2
    assert wait(RULE, first.state.with_progress(), error, 0).wait_s == 0


def test_what_would_pass_later_than_it_is_tried_for_is_told_so() -> None:
    error = LimitExceeded("rows_per_hour: the limit of 9 rows is reached", 1_799.5, limit="rows_per_hour")
    decision = RULE.after_failure(FRESH, error, 0, 0)
    assert isinstance(decision, Fail)
    told = given_up(error, decision)
    assert str(told) == f"{error}; it passes in 30m, later than this is tried for"
    assert isinstance(told, LimitExceeded)
    assert (told.limit, told.retry_after_s, told.__cause__) == ("rows_per_hour", 1_799.5, error)


@pytest.mark.parametrize("error", [GONE, LimitExceeded("busy", 0), NotSignedIn("no", has_new_token=True)])
def test_no_time_turns_it_off(error: ArgusClientError) -> None:
    assert replace(RULE, retry_for_s=0).after_failure(BEGUN, error, 0, 0) == Fail(tries=0)
