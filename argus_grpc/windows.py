"""How an ordered export is cut into windows that can be sorted one at a time. Pure.

Every event has a position in the export's order, a single integer: for time order
(timestamp, sequence) as timestamp · 2^63 + sequence, for arrival order the sequence alone. A
window is a half-open range of positions, so any two events can be parted, whatever their
timestamps; sorting within windows taken in turn gives the total order without a global sort.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

SEQUENCE_SPAN = 2**63
_MAX_GROWTH = 8


def position(timestamp_ns: int, sequence: int) -> int:
    """The place of an event in time order."""
    return timestamp_ns * SEQUENCE_SPAN + sequence


def split_position(place: int) -> tuple[int, int]:
    """The (timestamp_ns, sequence) of a place in time order."""
    return divmod(place, SEQUENCE_SPAN)


@dataclass(frozen=True)
class Window:
    """The positions from start to before end, and how many matching events they hold."""

    start: int
    end: int
    row_count: int


def cut_windows(
    start: int,
    end: int,
    total_rows: int,
    count: Callable[[int, int], int],
    target_rows: Callable[[], int],
) -> Iterator[Window]:
    """Windows that cover the total_rows events between two positions, in order, none empty.

    Each holds about target_rows() events and never more than twice that (unless a single position
    did). `count` says how many events lie between two positions; it is asked for each window, and
    for a few more where density changes, so it should be cheap on a narrow range. Stops when
    total_rows events are covered, or at `end`.
    """
    remaining = total_rows
    width = 0
    while remaining > 0 and start < end:
        target = target_rows()
        if remaining <= target:
            yield Window(start, end, remaining)
            return
        if not width:
            width = max(1, (end - start) * target // remaining)
        stop = min(end, start + width)
        rows = count(start, stop)
        while rows > 2 * target and stop - start > 1:
            stop = start + max(1, (stop - start) * target // rows)
            rows = count(start, stop)
        if rows:
            yield Window(start, stop, rows)
        widest = (stop - start) * _MAX_GROWTH
        width = max(1, min(widest, (stop - start) * target // rows)) if rows else widest
        remaining -= rows
        start = stop
