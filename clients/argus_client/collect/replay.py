"""Which of a connection's messages are new: at every connect Argus repeats its last 100 events.

A repetition is told by its order: what comes first is compared with the end of what was received
before, and once that end is reached, all that follows is new. Two events with the same text stay two
wherever the order tells so.
"""

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from argus_client.collect.argus_messages import Message

RING_EVENTS = 100
"""How many events Argus repeats."""

# It adds an event before it drops the oldest, so a repetition may have one more.
_MAX_RING_EVENTS = RING_EVENTS + 1
_DIGEST_BYTES = 8

# What a ring may hold. An Argus server's holds what is about virtual threads, and GC and CPU events
# are not repeated; others that speak its protocol may repeat all events, or all messages.
_RINGS = ("messages", "events", "virtual_threads")


@dataclass(frozen=True, slots=True)
class _Received:
    message: Message
    digest: bytes
    rings: tuple[bool, ...]
    """Which of _RINGS it is in."""


class _Reading:
    """One way to read the messages since the connect: they repeat `known`, to its end."""

    __slots__ = ("_known", "_matched", "covers", "ring", "whole_after")

    def __init__(self, ring: int, known: tuple[bytes, ...]) -> None:
        self.ring = ring
        self.covers = len(known)
        self.whole_after: int | None = None
        """How many messages the repetition took, with those between that are not of the ring."""
        self._known = known
        self._matched = 0

    def fits(self, received: _Received, place: int) -> bool:
        """Whether this is still a way to read them, with the message that came at this place."""
        if self.whole_after is not None or not received.rings[self.ring]:
            return True
        if received.digest != self._known[self._matched]:
            return False
        self._matched += 1
        if self._matched == self.covers:
            self.whole_after = place + 1
        return True

    def repeats(self, received: _Received, place: int) -> bool:
        return received.rings[self.ring] and (self.whole_after is None or place < self.whole_after)


class ReplayFilter:
    """Tells new messages from repeated ones. Thread state updates are not its business.

    Messages are held back while it is open which they are: that takes two equal texts.

    repeated: how many were.
    gaps: after how many connects nothing was known of what came, so that events may be missing.
    """

    def __init__(self, state: Mapping[str, Any] | None = None) -> None:
        """state: of a filter whose work this one goes on with. Raises ValueError if it is not one."""
        self._history = [_from_hex((state or {}).get(ring, "")) for ring in _RINGS]
        self.repeated = 0
        self.gaps = 0
        self._readings: list[_Reading] = []
        self._had_history = False
        self._held: list[_Received] = []
        self._second = _SecondCopy()

    def state(self) -> dict[str, str]:
        """What another filter needs to go on after the messages given out so far."""
        return {ring: b"".join(known).hex() for ring, known in zip(_RINGS, self._history, strict=True)}

    def connected(self) -> None:
        """A connection begins."""
        readings = [
            _Reading(ring, tuple(known)[start:])
            for ring, known in enumerate(self._history)
            for start in range(len(known))
        ]
        # The longest repetition that fits is the one; the one that has an event too many, if no other.
        self._readings = sorted(readings, key=lambda r: (r.covers > RING_EVENTS, -r.covers, r.ring))
        self._had_history = bool(readings)
        self._held = []
        self._second = _SecondCopy()

    def receive(self, text: str, message: Message) -> Iterator[Message]:
        """Takes a message; yields those that turn out to be new, in order."""
        rings = (True, message.event is not None, message.is_virtual_thread)
        digest = blake2b(text.encode(errors="surrogatepass"), digest_size=_DIGEST_BYTES).digest()
        received = _Received(message, digest, rings)
        if not self._readings:
            yield from self._take(received)
            return
        self._held.append(received)
        place = len(self._held) - 1
        self._readings = [reading for reading in self._readings if reading.fits(received, place)]
        if not self._readings or self._readings[0].whole_after is not None:
            yield from self._settle()

    def disconnected(self) -> Iterator[Message]:
        """The connection ended; yields what was held back and is new by all that is known."""
        yield from self._settle()

    def _settle(self) -> Iterator[Message]:
        held, self._held = self._held, []
        reading = self._readings[0] if self._readings else None
        self._readings = []
        if held and reading is None and self._had_history:
            self.gaps += 1
        for place, received in enumerate(held):
            if reading is not None and reading.repeats(received, place):
                self._second.note(received)
                self.repeated += 1
            else:
                yield from self._take(received)

    def _take(self, received: _Received) -> Iterator[Message]:
        if self._second.has(received):
            self.repeated += 1
            return
        self._second.note(received)
        for is_in, known in zip(received.rings, self._history, strict=True):
            if is_in:
                known.append(received.digest)
        yield received.message


class _SecondCopy:
    """Finds what came twice within one connection: Argus sends events to a new client that it then
    also puts into the repetition, so the last of the ring may come once more right after it.

    That place is known when the ring is full. Where a text comes twice within it, texts do not name
    events, and nothing is taken for a copy.
    """

    def __init__(self) -> None:
        self._first: list[bytes] | None = []
        self._next: int | None = None

    def note(self, received: _Received) -> None:
        """Takes a message that is no second copy."""
        if self._first is not None and received.message.is_virtual_thread:
            self._first.append(received.digest)
            if len(self._first) > RING_EVENTS:
                self._first = None

    def has(self, received: _Received) -> bool:
        """Whether the message is one."""
        first = self._first
        if first is None or not received.message.is_virtual_thread:
            return False
        if self._next is None:
            is_at_end = len(first) == RING_EVENTS
            if not is_at_end or received.digest not in first or len(set(first)) < len(first):
                return False
            self._next = first.index(received.digest)
        if first[self._next] != received.digest:
            self._first = None
            return False
        self._next += 1
        if self._next == len(first):
            self._first = None
        return True


def _from_hex(digests: str) -> deque[bytes]:
    joined = bytes.fromhex(digests)
    if len(joined) % _DIGEST_BYTES:
        raise ValueError(f"{len(joined)} bytes are not digests of {_DIGEST_BYTES}")
    places = range(0, len(joined), _DIGEST_BYTES)
    return deque((joined[at : at + _DIGEST_BYTES] for at in places), _MAX_RING_EVENTS)
