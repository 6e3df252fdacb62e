"""What came of all that was received."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from argus_client.collect.spool import Spool

# Whoever sends ever new types must not fill the memory with their names.
_MAX_ODDITIES = 100
_OTHER_ODDITIES = "other"


@dataclass
class Counts:
    """Counted since the collector began. Each is written by one thread."""

    messages: int = 0
    """Received, whatever they were."""
    events: int = 0
    """New events."""
    repeated: int = 0
    """Events and oddities that had been received before."""
    state_updates: int = 0
    """Thread state updates, which are no events."""
    oddities: Counter[str] = field(default_factory=Counter)
    """Messages that are no event and no state update, by what is odd about them."""
    outages: int = 0
    """How often the connection was lost, or there was none at the start."""
    gaps: int = 0
    """After how many of them nothing that was received was known: events may be missing."""
    stored: int = 0
    """Events that the server has, those that an earlier collector had spooled among them."""

    def add_oddity(self, what: str) -> None:
        is_new = what not in self.oddities and len(self.oddities) >= _MAX_ODDITIES
        self.oddities[_OTHER_ODDITIES if is_new else what] += 1


def status_line(counts: Counts, spool: Spool) -> str:
    """How it goes, in one line; what did not happen is left out."""
    parts = [
        f"{counts.events:,} received",
        f"{counts.stored:,} stored",
        f"{spool.waiting:,} waiting",
        *_told(spool.dropped, "dropped"),
        *_told(spool.set_aside, "refused"),
        *_told(counts.oddities.total(), "odd"),
    ]
    return ", ".join(parts)


def report(counts: Counts, spool: Spool) -> Iterator[str]:
    """Yields the lines that are said at the end."""
    yield (
        f"Received {_events(counts.events)} in {counts.messages:,} messages; "
        f"{counts.repeated:,} repeated, {counts.state_updates:,} thread state updates, "
        f"{counts.oddities.total():,} odd."
    )
    for what, count in counts.oddities.most_common():
        yield f"  {count:>10,}  {what}"
    yield f"Stored {_events(counts.stored)}; {spool.waiting:,} wait in {spool.folder}."
    if spool.dropped:
        yield f"Dropped {_events(spool.dropped)} for want of space in the spool."
    if spool.set_aside:
        yield f"Set aside {_events(spool.set_aside)} that the server refused: {spool.folder}/refused-*.jsonl."
    if counts.gaps:
        times = "once" if counts.gaps == 1 else f"{counts.gaps:,} times"
        yield f"Events may be missing: after an outage, nothing that came was known ({times})."


def _told(count: int, what: str) -> Iterator[str]:
    if count:
        yield f"{count:,} {what}"


def _events(count: int) -> str:
    return f"{count:,} event{'' if count == 1 else 's'}"
