"""The rule by which a cut export goes on: pure decisions, made of an error, a clock and a die.

Decisions use the kind of the error, which stands for status codes and details, never its text.
"""

from dataclasses import dataclass, replace

from argus_client.errors import ArgusClientError, LimitExceeded, ServerUnavailable

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
    """Do not try again; `tries` have been made since the last progress."""

    tries: int


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
        if not self.retry_for_s or not _may_pass(error, has_begun=state.has_begun):
            return Fail(state.failures)
        since_s = state.failing_since_s if state.failures else now_s
        left_s = since_s + self.retry_for_s - now_s
        least_s = _retry_after_s(error) or 0.0
        if left_s <= 0 or least_s > left_s:
            return Fail(state.failures)
        attempt = state.failures + 1
        # Jitter on top of what the server asks for, or all whom it sent away come back at once. The
        # last try is made when the time is up, not before.
        wait_s = min(least_s + self.backoff.wait_s(attempt, die), left_s)
        return Wait(attempt, wait_s, replace(state, failures=attempt, failing_since_s=since_s))


def given_up(error: ArgusClientError, decision: Fail) -> ArgusClientError:
    """The error as the user is told of it, with how often it was tried again."""
    if not decision.tries or not isinstance(error, ServerUnavailable | LimitExceeded):
        return error
    times = "once" if decision.tries == 1 else f"{decision.tries:,} times"
    return retold(error, f"{error}; tried again {times}, in vain")


def retold(error: ServerUnavailable | LimitExceeded, message: str) -> ServerUnavailable | LimitExceeded:
    """The same error in other words."""
    told: ServerUnavailable | LimitExceeded
    if isinstance(error, LimitExceeded):
        told = LimitExceeded(message, error.retry_after_s, limit=error.limit)
    else:
        told = type(error)(message, error.retry_after_s)
    told.__cause__ = error
    return told


def _may_pass(error: ArgusClientError, *, has_begun: bool) -> bool:
    if _retry_after_s(error) is not None:
        return True
    # Before it has begun there is nothing to save, and a wrong address is better told at once.
    return has_begun and isinstance(error, ServerUnavailable)


def _retry_after_s(error: ArgusClientError) -> float | None:
    return error.retry_after_s if isinstance(error, ServerUnavailable | LimitExceeded) else None
