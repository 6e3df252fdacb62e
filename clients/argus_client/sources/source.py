"""What every place that events are read from has in common."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Self

from argus_client.ingest import Batch, message_batches
from argus_client.sources.inputs import Input
from argus_grpc.v1.event_pb2 import Event


class EventSource(ABC):
    """The events of one file or of standard input, read as they are asked for: iterating yields Event
    messages without a sequence, in the file's own order, which need not be the order of time.

    path: the file, which messages call `name`; its size is size_bytes, None if it is not known.
    skipped: events that it has and that are not kept, by the name of their type.
    guards_removed: how many texts have lost the ' that the formula guard of --excel gave them.

    Reading raises SourceError when the file turns out to be cut off, damaged or not to fit; what was
    read before is sound. Leaving the `with` block stops what still runs.
    """

    def __init__(self, input: Input) -> None:
        self._input = input
        self.skipped: Counter[str] = Counter()
        self.guards_removed = 0
        self._reading: Generator[Event] | None = None

    @property
    def path(self) -> Path:
        return self._input.path

    @property
    def name(self) -> str:
        return self._input.name

    @property
    def size_bytes(self) -> int | None:
        return self._input.size_bytes

    @property
    def fraction(self) -> float | None:
        """How much has been read, 0 to 1; None: not known."""
        return self._input.fraction

    @abstractmethod
    def _read(self) -> Generator[Event]:
        """Yields the events, from the first one on."""

    def batches(self) -> Iterator[Batch]:
        """The events, from the first one on, in batches to send; the same content gives the same."""
        return message_batches(self)

    def __iter__(self) -> Iterator[Event]:
        self._stop_reading()
        self._reading = self._read()
        return self._reading

    def close(self) -> None:
        """Stops reading, and any program that reads for us. May be called again."""
        self._stop_reading()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _stop_reading(self) -> None:
        if self._reading is not None:
            self._reading.close()
            self._reading = None
