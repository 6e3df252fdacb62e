"""A call that is made again, as the rule has it, until it has its answer."""

import random
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from argus_client.errors import ArgusClientError
from argus_client.resuming import OnRetry
from argus_client.retry import Fail, RetryRule, RetryState, given_up

_Answer = TypeVar("_Answer")


def call_with_retries(
    call: Callable[[], _Answer],
    rule: RetryRule,
    *,
    may_repeat: bool,
    closed: threading.Event,
    on_retry: OnRetry | None,
) -> _Answer:
    """The answer of `call`, an ArgusClientError of which is followed by another try, or raised.

    may_repeat: whether a call may be made again of which it is not known what became of it. One
        that the server asks to come back later is made again in any case.
    closed: ends a wait, with the error.
    """
    state = RetryState(has_begun=may_repeat)
    while True:
        try:
            return call()
        except ArgusClientError as failure:
            error = failure
        decision = rule.after_failure(state, error, time.monotonic(), random.random())
        if isinstance(decision, Fail):
            raise given_up(error, decision)
        if on_retry is not None:
            on_retry(decision.attempt, decision.wait_s, error)
        if closed.wait(decision.wait_s):
            raise error
        state = decision.state
