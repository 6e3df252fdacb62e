"""How an ordered export is cut into windows that can be sorted one at a time. Pure.

Every event has a position in the export's order, a single integer: for time order
(timestamp, sequence) as timestamp · 2^63 + sequence, for arrival order the sequence alone. A
window is a half-open range of positions, so any two events can be parted, whatever their
timestamps; sorting within windows taken in turn gives the total order without a global sort.
"""

from collections.abc import Callable, Iterator
from typing import Protocol, TypeVar

SEQUENCE_SPAN = 2**63
_MAX_GROWTH = 8


class _Rows(Protocol):
    @property
    def num_rows(self) -> int: ...


_R = TypeVar("_R", bound=_Rows)


def position(timestamp_ns: int, sequence: int) -> int:
    """The place of an event in time order."""
    return timestamp_ns * SEQUENCE_SPAN + sequence


def split_position(place: int) -> tuple[int, int]:
    """The (timestamp_ns, sequence) of a place in time order."""
    return divmod(place, SEQUENCE_SPAN)


def cut_windows(
    start: int,
    end: int,
    total_rows: int,
    wanted_rows: int,
    read: Callable[[int, int, int], _R | None],
    place_after: Callable[[int, int, int], int],
    target_rows: Callable[[], int],
    grain: int = 1,
) -> Iterator[_R]:
    """The first wanted_rows, or a few more, of the total_rows events between two positions, in
    windows that follow each other, none empty.

    Each holds about target_rows() events, or as many as are still wanted, and never more than twice
    that. `read` gives the events between two positions, or None if there are more than its third
    argument; then `place_after` says where between them so many events have gone before. Guessed
    ends are multiples of `grain` where there is one. Stops early at `end`.
    """
    width = 0
    while wanted_rows > 0 and start < end:
        target = min(target_rows(), wanted_rows)
        if total_rows <= target:
            stop = end
        else:
            stop = min(end, _rounded(start, width or (end - start) * target // total_rows, grain))
        while (window := read(start, stop, 2 * target)) is None:
            stop = place_after(start, stop, target)
        rows = window.num_rows
        if rows:
            yield window
        widest = (stop - start) * _MAX_GROWTH
        width = min(widest, (stop - start) * target // rows) if rows else widest
        total_rows -= rows
        wanted_rows -= rows
        start = stop


def _rounded(start: int, width: int, grain: int) -> int:
    """A place about `width` after the start, at a multiple of the grain if there is one between."""
    stop = start + max(1, width)
    whole = stop // grain * grain
    return whole if whole > start else stop
