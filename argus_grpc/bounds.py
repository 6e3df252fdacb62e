"""What bounds an export's memory: windows of a size that fits, batches that fit a message."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pyarrow as pa

from argus_grpc.access import Principal
from argus_grpc.calls import current_principal
from argus_grpc.ordering import OrderedWindow

# A window is sorted and held as a whole while the next one is read, so these, and its share of the
# memory budget, bound an export's memory. The first is small so that the first batch comes at once,
# and so that the rows' width is known before it matters.
FIRST_WINDOW_ROWS = 4_096
MAX_WINDOW_ROWS = 262_144
MAX_WINDOW_BYTES = 16 * 1024 * 1024
MIN_WINDOW_BYTES = 256 * 1024
_WINDOWS_HELD = 2
_WINDOW_GROWTH = 8

# Above this a batch is cut in two. The wire may need 1.4 times what Arrow and _EVENT_BYTES do, and
# gRPC's default limit is 4 MiB.
MAX_BATCH_BYTES = 5 * 1024 * 1024 // 2
# What every event is reckoned to take beside its values: of few narrow columns, tags and lengths are
# the greater part.
_EVENT_BYTES = 16


class MemoryBudget:
    """The bytes that all running exports share for their windows: each caller that has any evenly, and each
    export of a caller's its part evenly."""

    def __init__(self, total_bytes: int) -> None:
        self._total_bytes = total_bytes
        self._lock = threading.Lock()
        self._sharers: Counter[Principal] = Counter()

    @contextmanager
    def share(self) -> Iterator[Callable[[], int]]:
        """A share of the current call's, as long as it is held; calling it says how many bytes it is at the
        moment."""
        caller = current_principal()
        with self._lock:
            self._sharers[caller] += 1
        try:
            yield lambda: self._share_bytes(caller)
        finally:
            with self._lock:
                self._sharers[caller] -= 1
                if not self._sharers[caller]:
                    del self._sharers[caller]

    def _share_bytes(self, caller: Principal) -> int:
        with self._lock:
            return self._total_bytes // max(len(self._sharers), 1) // max(self._sharers[caller], 1)


class WindowSize:
    """How many events a window should have: more and more, until they fill its memory."""

    def __init__(self, share_bytes: Callable[[], int]) -> None:
        """`share_bytes` says how many bytes the windows of one export may have now."""
        self._share_bytes = share_bytes
        self._rows = FIRST_WINDOW_ROWS

    def target_rows(self) -> int:
        return self._rows

    def was_read(self, events: pa.RecordBatch) -> None:
        if events.num_rows:
            window_bytes = max(MIN_WINDOW_BYTES, min(self._share_bytes() // _WINDOWS_HELD, MAX_WINDOW_BYTES))
            rows_that_fit = window_bytes * events.num_rows // events.nbytes
            grown = max(self._rows, events.num_rows * _WINDOW_GROWTH)
            self._rows = max(1, min(rows_that_fit, grown, MAX_WINDOW_ROWS))


def slice_by_bytes(
    window: OrderedWindow | pa.RecordBatch, rows: int, max_bytes: int
) -> Iterator[pa.RecordBatch]:
    """The window's first rows, at least one, in slices of about max_bytes, under MAX_BATCH_BYTES or of one
    event."""
    step = max(1, window.num_rows * max_bytes // _size_bytes(window))
    for start in range(0, rows, step):
        part = window.slice(start, min(step, rows - start))
        yield from _halve_large(part, min(2 * max_bytes, MAX_BATCH_BYTES))


def _halve_large(part: pa.RecordBatch, max_bytes: int) -> Iterator[pa.RecordBatch]:
    if part.num_rows == 1 or _size_bytes(part) <= max_bytes:
        yield part
        return
    half = part.num_rows // 2
    yield from _halve_large(part.slice(0, half), max_bytes)
    yield from _halve_large(part.slice(half), max_bytes)


def _size_bytes(events: OrderedWindow | pa.RecordBatch) -> int:
    return int(events.nbytes) + _EVENT_BYTES * int(events.num_rows)
