"""What rows of text are put together from, and how neighbours become one."""

from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from argus_client.formats.arrow import Mask, affixed
from argus_client.formats.records import Records

Rows: TypeAlias = npt.NDArray[np.intp]

# So that places, and the number of texts too, fit in a byte.
_MAX_CHOICES = 255


@dataclass(frozen=True)
class Choice:
    """A few texts, 255 at most, and which of them each row has."""

    texts: tuple[str, ...]
    places: npt.NDArray[np.uint8]

    def affixed(self, before: str, after: str) -> "Choice":
        """With text before and after each."""
        return Choice(_each_affixed(self.texts, before, after), self.places)


@dataclass(frozen=True)
class Values:
    """A text for each row; no NULL. `instead`: a mask, and what stands for the texts where it is true,
    in order."""

    texts: pa.StringArray
    instead: tuple[pa.BooleanArray, pa.StringArray] | None = None


@dataclass(frozen=True)
class Sparse:
    """One text for most rows; the others, in order, have their own."""

    usual: str
    rows: Rows
    others: pa.StringArray

    def affixed(self, before: str, after: str) -> "Sparse":
        """With text before and after each."""
        return Sparse(f"{before}{self.usual}{after}", self.rows, affixed(self.others, before, after))


Piece: TypeAlias = str | Choice | Records | Values | Sparse


def joined(before: Piece, after: Piece) -> Piece | None:
    """Both as one piece; None: as two they are cheaper."""
    match before, after:
        case str(), str():
            return before + after
        case str(), Choice() | Sparse():
            return after.affixed(before, "")
        case Choice() | Sparse(), str():
            return before.affixed("", after)
        case Choice(), Choice() if len(before.texts) * len(after.texts) <= _MAX_CHOICES:
            places = before.places * np.uint8(len(after.texts)) + after.places
            return Choice(_all_pairs(before.texts, after.texts), places)
        case Records(), str():
            return before.followed_by(after)
    return None


def where(piece: Piece, mask: Mask) -> Piece:
    """With nothing where the mask is false. Values have an empty text there already, and Sparse has texts
    of its own where the mask is true alone."""
    match piece:
        case str():
            return Choice(("", piece), mask.view(np.uint8))
        case Choice(texts, places):
            return Choice((*texts, ""), np.where(mask, places, np.uint8(len(texts))))
        case Records():
            return piece.where(mask)
        case Values():
            return piece
        case Sparse(_, rows, others):
            return Sparse("", rows, others)


# Kept, since one batch most often has the texts of the one before.
@lru_cache(maxsize=256)
def _each_affixed(texts: tuple[str, ...], before: str, after: str) -> tuple[str, ...]:
    return tuple(f"{before}{text}{after}" for text in texts)


@lru_cache(maxsize=256)
def _all_pairs(left: tuple[str, ...], right: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(before + after for before in left for after in right)
