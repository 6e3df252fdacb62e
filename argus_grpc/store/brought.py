"""What is brought to the store, and what those who bring it are told."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, Self, TypeAlias

import pyarrow as pa


@dataclass(frozen=True)
class Appended:
    """The sequences of a batch, and whether an earlier call had stored it."""

    sequences: range
    was_stored_before: bool = False


class Undecoded(Protocol):
    """A small batch that is decoded in the appender's thread with all others of its class that are committed
    with it, since that costs more by the batch than by the event."""

    @property
    def num_rows(self) -> int: ...

    @property
    def nbytes(self) -> int: ...

    @classmethod
    def decode_all(cls, waiting: Sequence[Self]) -> Sequence[pa.RecordBatch | Exception]:
        """The events of each, or what is wrong with them."""


Brought: TypeAlias = "pa.RecordBatch | Undecoded"
