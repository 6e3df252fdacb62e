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

    after_ns: events that ended by then have all been taken.
    """

    def __init__(self, state: Mapping[str, Any] | None = None) -> None:
        state = state or {}
        self.after_ns: int = state.get("after_ns", -1)
        # (end, digest), a heap; and those of an earlier stream that are yet to come again.
        self._taken: list[tuple[int, str]] = [(end, digest) for end, digest in state.get("taken", ())]
        heapq.heapify(self._taken)
        self._last_ns = max((end for end, _ in self._taken), default=self.after_ns)
        self._known: Counter[str] = Counter()

    def state(self) -> dict[str, Any]:
        return {"after_ns": self.after_ns, "taken": sorted(self._taken)}

    def again(self) -> None:
        """A stream begins, with the events that ended later than after_ns."""
        self._known = Counter(digest for _, digest in self._taken)

    def take(self, end_ns: int, line: bytes) -> bool:
        """Takes an event; whether it is new."""
        if end_ns <= self.after_ns:
            return False
        digest = blake2b(line, digest_size=_DIGEST_BYTES).hexdigest()
        if self._known[digest]:
            self._known[digest] -= 1
            return False
        heapq.heappush(self._taken, (end_ns, digest))
        last_ns = max(end_ns, self._last_ns)
        self._last_ns = last_ns
        while self._taken[0][0] <= last_ns - OVERLAP_NS or len(self._taken) > MAX_REMEMBERED:
            self.after_ns = heapq.heappop(self._taken)[0]
        return True
