"""Numbers and instants as text in records of one size, written digit by digit for all rows at once."""

from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from argus_client.formats.arrow import Mask, as_string, empty, text_buffer

Integers: TypeAlias = npt.NDArray[np.integer]

_NS_PER_S = 10**9
_GROUP_DIGITS = 4
_GROUP_BYTES = 4
_GROUP_VALUES = 10**_GROUP_DIGITS
# By a number, its digits with zeros in front, as one number again.
_GROUPS = np.frombuffer(b"".join(b"%04d" % number for number in range(10_000)), np.uint32)
_SECOND = "2024-01-01T00:00:07."
_INSTANT = np.dtype([("second", f"V{len(_SECOND)}"), ("digits", np.uint32, 3)])


@dataclass(frozen=True)
class Records:
    """A text for each row: the bytes of its record from its start to its end, and the suffix.

    `data`: the records, in `memory`. Where all end in the same place, 4 bytes are left for the suffix.
    """

    memory: pa.Buffer
    data: npt.NDArray[Any]
    starts: npt.NDArray[np.uint8] | int
    ends: npt.NDArray[np.uint8] | int
    suffix: bytes = b""

    def followed_by(self, text: str) -> "Records | None":
        """With text after each; None: it does not fit."""
        suffix = self.suffix + text.encode()
        if not isinstance(self.ends, int) or len(suffix) > _GROUP_BYTES:
            return None
        return replace(self, suffix=suffix)

    def where(self, mask: Mask) -> "Records":
        """With nothing where the mask is false."""
        starts, ends = (np.asarray(place, np.uint8) for place in (self.starts, self.ends + len(self.suffix)))
        return replace(self, starts=np.where(mask, starts, ends))

    def to_strings(self) -> pa.StringArray:
        """The texts in every other place, from the first; in the others, what lies between them."""
        count = len(self.data)
        if self.suffix:
            self.data[:, -1] = np.frombuffer(self.suffix.ljust(_GROUP_BYTES), np.uint32)
        stride = self.data.strides[0]
        offsets_memory, offsets = empty(2 * count + 1, np.dtype(np.int32))
        firsts = np.arange(0, count * stride, stride, dtype=np.int32)
        np.add(firsts, self.starts, out=offsets[:-1:2], casting="unsafe")
        np.add(firsts, self.ends + len(self.suffix), out=offsets[1::2], casting="unsafe")
        offsets[-1] = count * stride
        return pa.StringArray.from_buffers(2 * count, offsets_memory, self.memory)


def decimals(numbers: Integers, greatest: int) -> Records:
    """Integers from 0 to `greatest`, without zeros in front."""
    max_digits = len(str(greatest))
    groups = -(-max_digits // _GROUP_DIGITS)
    memory, data = empty(len(numbers), np.dtype((np.uint32, groups + 1)))
    numbers = numbers.astype(np.uint32 if greatest < 2**32 else np.uint64)
    rest = numbers
    for group in range(groups - 1, 0, -1):
        head = rest // _GROUP_VALUES
        data[:, group] = _GROUPS.take(rest - head * _GROUP_VALUES)
        rest = head
    data[:, 0] = _GROUPS.take(rest)

    lengths = np.ones(len(numbers), np.uint8)
    for digits in range(1, max_digits):
        lengths += numbers >= 10**digits
    end = groups * _GROUP_BYTES
    return Records(memory, data, end - lengths, end)


def instants(ns: npt.NDArray[np.int64], digits: int | None) -> Records:
    """RFC 3339 without the final Z, of instants in ns since 1970.

    digits: of the fraction of a second, 0, 3, 6 or 9; finer ones are cut off, which is toward the past
    before 1970 too. None: as many as each needs.
    """
    seconds = ns // _NS_PER_S
    fraction_ns = (ns - seconds * _NS_PER_S).astype(np.uint32)
    memory, data = empty(len(ns), _INSTANT)
    _write_seconds(seconds, data)
    first = fraction_ns // 100_000
    others = fraction_ns - first * 100_000
    second = others // 10
    last = others - second * 10
    for group, number in enumerate((first, second, last * 1000)):
        data["digits"][:, group] = _GROUPS.take(number)

    point = len(_SECOND) - 1
    ends = np.full(len(ns), point + (10 if digits is None else 1 + digits if digits else 0), np.uint8)
    if digits is None:
        # numpy's % would take several times as long.
        rounder = np.flatnonzero(others // 1000 * 1000 == others)
        few = fraction_ns[rounder]
        ends[rounder] = point + np.where(few % 10**6, 7, np.where(few, 4, 0))
    return Records(memory, data, 0, ends)


def _write_seconds(seconds: npt.NDArray[np.int64], data: npt.NDArray[np.void]) -> None:
    """Sets the records' seconds, with a point behind; other fields become anything."""
    least = seconds.min()
    places = seconds - least
    count = int(places.max()) + 1
    # Most batches are of few seconds, which rows share.
    if count <= len(seconds):
        seconds = np.arange(least, least + count)
    else:
        places = np.arange(len(seconds))
    # Without a time zone the cast needs no look-up in the zone's table: 40 times as fast.
    array = pa.Array.from_buffers(pa.timestamp("s"), len(seconds), [None, pa.py_buffer(seconds)])
    texts = np.frombuffer(text_buffer(as_string(array)), np.uint8).reshape(len(seconds), -1)
    records = np.empty(len(seconds), _INSTANT)
    characters = records.view(np.uint8).reshape(len(seconds), -1)
    characters[:, : _SECOND.index(".")] = texts
    characters[:, _SECOND.index("T")] = ord("T")
    characters[:, _SECOND.index(".")] = ord(".")
    # Without "clip", numpy would write to memory of its own first; no place is out of range.
    records.take(places, out=data, mode="clip")
