"""One file of a spool: batches, one after another, each with its length and CRC-32C.

A batch is a line of JSON (its number, how many events it has, and the collector's state after it)
and an IngestEventsRequest. What a killed process left half written is cut off.
"""

import io
import json
import os
import struct
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import google_crc32c

from argus_client.errors import OutputError
from argus_grpc.v1.ingest_pb2 import IngestEventsRequest

_FRAME = struct.Struct("<II")
_ENDING = ".segment"


@dataclass(frozen=True, slots=True)
class BatchPlace:
    """Where a batch is."""

    number: int
    events: int
    offset: int
    size_bytes: int


@dataclass(frozen=True)
class SpooledBatch:
    """A batch read back: the state is the collector's after it."""

    number: int
    events: int
    state: Mapping[str, Any]
    request: IngestEventsRequest


class Segment:
    """A file of batches whose first number is its name. `waiting` are those yet to be sent."""

    def __init__(self, path: Path) -> None:
        """Opens or makes it. Raises OSError."""
        self.path = path
        self.waiting: deque[BatchPlace] = deque()
        self.last: BatchPlace | None = None
        self.is_damaged = False
        """Whether it ended with what is no whole batch; that has been cut off."""
        self._file = io.FileIO(path, "a+")
        self.size_bytes = self._read_places()
        if self.size_bytes < self._file.seek(0, os.SEEK_END):
            self.is_damaged = True
            self._file.truncate(self.size_bytes)
        self._synced_bytes = 0

    @property
    def waiting_events(self) -> int:
        return sum(place.events for place in self.waiting)

    def append(self, number: int, events: int, state: Mapping[str, Any], request: bytes) -> None:
        """Adds a batch, all or nothing of it. Raises OSError."""
        header = json.dumps({"number": number, "events": events, "state": state}).encode()
        body = b"%b\n%b" % (header, request)
        framed = _FRAME.pack(len(body), google_crc32c.value(body)) + body
        try:
            written = 0
            while written < len(framed):
                written += self._file.write(memoryview(framed)[written:])
        except OSError:
            self._file.truncate(self.size_bytes)
            raise
        self.last = BatchPlace(number, events, self.size_bytes, len(framed))
        self.waiting.append(self.last)
        self.size_bytes += len(framed)

    def read(self, place: BatchPlace) -> SpooledBatch:
        """Raises OutputError if it is not as it was written."""
        body = self._read_body(place.offset)
        if body is None:
            raise OutputError(f"{self.path} was changed: its batch {place.number} cannot be read")
        header, _, request = body.partition(b"\n")
        told = json.loads(header)
        return SpooledBatch(
            place.number, place.events, told["state"], IngestEventsRequest.FromString(request)
        )

    def sync(self) -> None:
        """Returns when what was appended is on disk. Raises OSError."""
        if self._synced_bytes < self.size_bytes:
            os.fsync(self._file.fileno())
            self._synced_bytes = self.size_bytes

    def close(self) -> None:
        self._file.close()

    def remove(self) -> None:
        self.close()
        self.path.unlink(missing_ok=True)

    def _read_places(self) -> int:
        offset = 0
        while (body := self._read_body(offset)) is not None:
            try:
                told = json.loads(body.partition(b"\n")[0])
                place = BatchPlace(told["number"], told["events"], offset, _FRAME.size + len(body))
            except (ValueError, KeyError, TypeError):
                break
            self.waiting.append(place)
            self.last = place
            offset += place.size_bytes
        return offset

    def _read_body(self, offset: int) -> bytes | None:
        end = self._file.seek(0, os.SEEK_END)
        self._file.seek(offset)
        head = self._file.read(_FRAME.size)
        if len(head) < _FRAME.size:
            return None
        size_bytes, crc32c = _FRAME.unpack(head)
        if offset + _FRAME.size + size_bytes > end:
            return None
        body = self._file.read(size_bytes)
        return body if google_crc32c.value(body) == crc32c else None


def segment_path(folder: Path, first_number: int) -> Path:
    return folder / f"{first_number:016}{_ENDING}"


def segment_paths(folder: Path) -> list[Path]:
    """The segments in a folder, oldest first."""
    return sorted(path for path in folder.glob(f"*{_ENDING}") if path.stem.isdecimal())
