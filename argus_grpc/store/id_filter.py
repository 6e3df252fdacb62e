"""Which of many ids may have been seen: their hashes, eight bytes each."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.int64]


@dataclass(frozen=True)
class _Segment:
    """Hashes of ids that came one after the other, sorted. The first of them came at `start`."""

    hashes: Hashes
    start: int
    newest_s: int


class IdFilter:
    """The hashes of ids in segments, in the order in which they came; the oldest go a segment at a time.

    An id comes at a place, such as a sequence, and at a time in seconds; places ascend. It may seem to
    be there when it is not, and never the reverse.
    """

    def __init__(self, segment_ids: int, max_segments: int) -> None:
        self._segment_ids = segment_ids
        self._max_segments = max_segments
        self._segments: list[_Segment] = []
        self._newest: set[int] = set()
        self._newest_start = 0
        self._newest_s = 0

    def __len__(self) -> int:
        return len(self._newest) + sum(len(segment.hashes) for segment in self._segments)

    def add(self, hashes: Hashes, first_place: int, newest_s: int) -> None:
        """Adds ids that came together, the first of them at first_place, the newest at newest_s."""
        if not self._newest:
            self._newest_start = first_place
        self._newest.update(hashes.tolist())
        self._newest_s = max(self._newest_s, newest_s)
        if len(self._newest) >= self._segment_ids:
            self._end_segment()

    def find(self, wanted: Hashes) -> Iterator[tuple[int, range]]:
        """The index of each hash that is there, with the places among which its id came; newest first."""
        end = np.iinfo(np.int64).max
        if self._newest:
            for index in np.flatnonzero([hash_ in self._newest for hash_ in wanted.tolist()]):
                yield int(index), range(self._newest_start, end)
            end = self._newest_start
        for segment in reversed(self._segments):
            at = np.minimum(np.searchsorted(segment.hashes, wanted), len(segment.hashes) - 1)
            for index in np.flatnonzero(segment.hashes[at] == wanted):
                yield int(index), range(segment.start, end)
            end = segment.start

    def forget(self, before_s: int) -> int | None:
        """Forgets the oldest segments: those with nothing at or after this time, and those that are too many.

        Returns the place of the first id that is left, if some were too many; else None.
        """
        while self._segments and self._segments[0].newest_s < before_s:
            del self._segments[0]
        too_many = len(self._segments) - self._max_segments
        if too_many <= 0:
            return None
        del self._segments[:too_many]
        return self._segments[0].start

    def _end_segment(self) -> None:
        hashes = np.fromiter(self._newest, np.int64, len(self._newest))
        hashes.sort()
        self._segments.append(_Segment(hashes, self._newest_start, self._newest_s))
        self._newest, self._newest_s = set(), 0
