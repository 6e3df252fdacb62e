"""How far a stream of recorded events has been taken, so that another one goes on exactly there.

Such a stream is in order of the events' ends, but for what was just being written at a flush, which
comes with the next one. So those that ended last are remembered one by one.
"""

import heapq
from collections import Counter
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

OVERLAP_NS = 1_000_000_000
MAX_REMEMBERED = 1_024

_DIGEST_BYTES = 8


class JfrPosition:
    """Tells new events from those that an earlier stream has had.

    after_ns: a stream that goes on needs the events that ended later than this.
    """

    def __init__(self, state: Mapping[str, Any] | None = None) -> None:
        state = state or {}
        self.after_ns: int = state.get("after_ns", -1)
        # A heap of (end, digest).
        self._taken: list[tuple[int, str]] = [(end, digest) for end, digest in state.get("taken", ())]
        heapq.heapify(self._taken)
        self._last_ns = max((end for end, _ in self._taken), default=self.after_ns)
        self._begun_after_ns: int = self.after_ns
        self._known: Counter[str] = Counter()

    def state(self) -> dict[str, Any]:
        """What another position needs to go on after the events taken so far."""
        return {"after_ns": self.after_ns, "taken": sorted(self._taken)}

    def begin(self) -> None:
        """A stream begins; it has all events that ended later than after_ns."""
        self._begun_after_ns = self.after_ns
        self._known = Counter(digest for _, digest in self._taken)

    def is_earlier(self, end_ns: int) -> bool:
        """Whether the stream need not have had an event that ended then."""
        return end_ns <= self._begun_after_ns

    def take(self, end_ns: int, line: bytes) -> bool:
        """Takes an event; whether it is new."""
        if self.is_earlier(end_ns):
            return False
        digest = blake2b(line, digest_size=_DIGEST_BYTES).hexdigest()
        if self._known[digest]:
            self._known[digest] -= 1
            return False
        heapq.heappush(self._taken, (end_ns, digest))
        self._last_ns = max(self._last_ns, end_ns)
        while self._is_too_much(self._taken[0][0]):
            self.after_ns = heapq.heappop(self._taken)[0]
        return True

    def _is_too_much(self, end_ns: int) -> bool:
        # More may come that end when the last one did, however many there are.
        is_old = end_ns <= self._last_ns - OVERLAP_NS
        return is_old or (len(self._taken) > MAX_REMEMBERED and end_ns < self._last_ns)
