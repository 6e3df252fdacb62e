"""Work that is done beside the caller's own, in order."""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Self


class Background:
    """Makes calls one after another in a thread of its own, for use in a `with` block.

    Leaving the block waits for all calls that were given; an error, or an interrupt, does so too.
    After a call that raised, no other is made.

    max_waiting: how many calls may be under way or wait; whoever gives one more waits.
    """

    def __init__(self, max_waiting: int) -> None:
        self._max_waiting = max_waiting
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="argus-export")
        self._calls: deque[Future[None]] = deque()
        self._has_failed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.shutdown()

    def do(self, call: Callable[..., None], *args: Any) -> None:
        """Takes a call to be made. Raises what an earlier one raised."""
        self._wait(self._max_waiting - 1)
        self._calls.append(self._thread.submit(self._make, call, *args))

    def finish(self) -> None:
        """Returns when all calls have been made. Raises what one of them raised."""
        self._wait(0)

    def _wait(self, max_waiting: int) -> None:
        while len(self._calls) > max_waiting:
            self._calls.popleft().result()

    def _make(self, call: Callable[..., None], *args: Any) -> None:
        if self._has_failed:
            return
        try:
            call(*args)
        except BaseException:
            self._has_failed = True
            raise
