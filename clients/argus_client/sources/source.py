"""What every place that events are read from has in common."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Self

from argus_grpc.v1.event_pb2 import Event


class EventSource(ABC):
    """The events of one file, read as they are asked for: iterating yields Event messages without
    a sequence, in the file's own order, which need not be the order of time.

    path: the file, whose size is size_bytes.
    skipped: events that the file has and that are not kept, by the name of their type.

    Iterating raises SourceError when the file turns out to be cut off, damaged or not to fit;
    what was yielded before is sound. Leaving the `with` block stops what still runs.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size_bytes = path.stat().st_size
        self.skipped: Counter[str] = Counter()
        self._reading: Generator[Event] | None = None

    @property
    @abstractmethod
    def fraction(self) -> float:
        """How much of the file has been read, 0 to 1."""

    @abstractmethod
    def _read(self) -> Generator[Event]:
        """Yields the events, from the first one on."""

    def __iter__(self) -> Iterator[Event]:
        self.close()
        self._reading = self._read()
        return self._reading

    def close(self) -> None:
        """Stops reading, and any program that reads for us. May be called again."""
        if self._reading is not None:
            self._reading.close()
            self._reading = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
