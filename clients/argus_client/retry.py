"""The rule by which a cut export goes on: pure decisions, made of an error, a clock and a die.

Decisions use the kind of the error, which stands for status codes and details, never its text.
"""

import math
from copy import copy
from dataclasses import dataclass, replace

from argus_client.errors import ArgusClientError, LimitExceeded, NotSignedIn, ServerUnavailable
from argus_client.times import format_duration

DEFAULT_RETRY_FOR_S = 300.0

# 2 to the power of this is beyond any wait that makes sense, and not beyond a float.
_MAX_DOUBLINGS = 60


@dataclass(frozen=True)
class Backoff:
    """How long to wait between tries: before the n-th, a random time between 0 and
    first_s · 2^(n-1), at most max_s. Both in seconds."""

    first_s: float = 0.5
    max_s: float = 15.0

    def wait_s(self, attempt: int, die: float) -> float:
        """The wait before this try, from 1 on; `die` is a random number from 0 to 1."""
        return die * min(self.max_s, self.first_s * 2.0 ** min(attempt - 1, _MAX_DOUBLINGS))


@dataclass(frozen=True)
class RetryState:
    """How an export stands: whether it has begun, and what has failed since its last progress."""

    has_begun: bool = False
    failures: int = 0
    failing_since_s: float = 0.0
    has_signed_in_again: bool = False
    """Whether a new token has been tried since."""

    def with_header(self) -> "RetryState":
        """After the server has answered: the export exists, but has not come further by that."""
        return replace(self, has_begun=True)

    def with_progress(self) -> "RetryState":
        """After events have come, or the word that there are none to send."""
        return RetryState(has_begun=True)


@dataclass(frozen=True)
class Wait:
    """Try again after wait_s seconds; it is the attempt-th try since the last progress, from 1."""

    attempt: int
    wait_s: float
    state: RetryState


@dataclass(frozen=True)
class Fail:
    """Do not try again; `tries` have been made since the last progress.

    too_long_s: when the server asks to come back later than it is tried for: after how many seconds.
    """

    tries: int
    too_long_s: float | None = None


@dataclass(frozen=True)
class RetryRule:
    """Which failures are tried again, when, and for how long.

    retry_for_s: how long an export may go without progress, counted from the first failure after
        the last progress; 0: nothing is tried again.
    """

    retry_for_s: float = DEFAULT_RETRY_FOR_S
    backoff: Backoff = Backoff()

    def after_failure(
        self, state: RetryState, error: ArgusClientError, now_s: float, die: float
    ) -> Wait | Fail:
        """What to do about this error at this time; any clock does that never goes back."""
        if not self.retry_for_s or not _may_pass(error, state):
            return Fail(state.failures)
        since_s = state.failing_since_s if state.failures else now_s
        left_s = since_s + self.retry_for_s - now_s
        least_s = _retry_after_s(error)
        if least_s is not None and least_s > left_s:
            return Fail(state.failures, least_s)
        if left_s <= 0:
            return Fail(state.failures)
        attempt = state.failures + 1
        if isinstance(error, NotSignedIn):
            state = replace(state, has_signed_in_again=True)
            wait_s = 0.0
        elif least_s == 0 and attempt == 1:
            # What the server asks for is a new call, not a rest.
            wait_s = 0.0
        else:
            # Jitter on top of what the server asks for, or all whom it sent away come back at once. The
            # last try is made when the time is up, not before.
            wait_s = min((least_s or 0.0) + self.backoff.wait_s(attempt, die), left_s)
        return Wait(attempt, wait_s, replace(state, failures=attempt, failing_since_s=since_s))


def given_up(error: ArgusClientError, decision: Fail) -> ArgusClientError:
    """The error as the user is told of it: how often it was tried again, and when it would pass."""
    if not isinstance(error, ServerUnavailable | LimitExceeded):
        return error
    told = str(error)
    if decision.tries:
        times = "once" if decision.tries == 1 else f"{decision.tries:,} times"
        told += f"; tried again {times}, in vain"
    if decision.too_long_s is not None:
        told += (
            f"; it passes in {format_duration(math.ceil(decision.too_long_s) * 1_000_000_000)}, later than"
        )
        told += " this is tried for"
    return retold(error, told) if decision != Fail(0) else error


def retold(error: ServerUnavailable | LimitExceeded, message: str) -> ServerUnavailable | LimitExceeded:
    """The same error in other words."""
    told = copy(error)
    told.args = (message,)
    told.__cause__ = error
    return told


def _may_pass(error: ArgusClientError, state: RetryState) -> bool:
    if isinstance(error, NotSignedIn):
        return error.has_new_token and not state.has_signed_in_again
    if _retry_after_s(error) is not None:
        return True
    # Before it has begun there is nothing to save, and a wrong address is better told at once.
    return state.has_begun and isinstance(error, ServerUnavailable)


def _retry_after_s(error: ArgusClientError) -> float | None:
    return error.retry_after_s if isinstance(error, ServerUnavailable | LimitExceeded) else None
