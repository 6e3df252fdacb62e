"""The uncompressed file into its part: compressed, with checkpoints on the way."""

import time
from collections import deque
from dataclasses import dataclass, replace

import pyarrow as pa

from argus_client.checkpoint import Checkpoint
from argus_client.compression import Compression, Compressor
from argus_client.files import PartFile
from argus_client.manifest import Manifest
from argus_client.stream import ResumePoint

CHECKPOINT_INTERVAL_S = 1.0
IDLE_CHECKPOINT_INTERVAL_S = 30.0
"""While nothing is written, only the token gets newer: it would expire in the end."""


@dataclass(frozen=True)
class _Mark:
    """A place in the uncompressed file, how many events come before it, and a place in the export that is
    not behind it."""

    resume_point: ResumePoint
    stream_bytes: int
    rows: int
    guarded_cells: int


class CheckpointedWriter:
    """Writes the uncompressed file through compression into the part, with checkpoints on the way."""

    def __init__(self, part: PartFile, checkpoint: Checkpoint, compression: Compression) -> None:
        self._part = part
        self._checkpoint = checkpoint
        self._compressor = Compressor(compression, checkpoint.settled_bytes)
        self._stream_bytes = checkpoint.stream_bytes
        self._last_point = checkpoint.resume_point
        self._marks = deque(
            [
                _Mark(
                    checkpoint.resume_point,
                    checkpoint.stream_bytes,
                    checkpoint.rows,
                    checkpoint.guarded_cells,
                )
            ]
        )
        self._last_checkpoint_s = time.monotonic()
        self._has_news = False

    def write(self, data: bytes | pa.Buffer) -> None:
        view = memoryview(data).cast("B")
        # Of the first of what is rendered anew, the part has the compressed form already.
        skipped = max(0, self._checkpoint.settled_bytes - self._stream_bytes)
        self._stream_bytes += len(view)
        self._has_news |= len(view) > 0
        for piece in self._compressor.compress(view[skipped:]):
            self._part.write(piece)

    def pause(self, point: ResumePoint, guarded_cells: int, rows: int) -> None:
        """A place between two batches: a checkpoint may be made here.

        rows: how many events are in what was written; those up to `point` that are not wait to be.
        """
        limit = self._checkpoint.request.limit
        # What waits came with this batch, if any of what was written did.
        usable = point if point.rows <= rows else self._last_point
        # A request for the none that are left of a limit could not be told from one for all.
        if usable.rows <= rows and (not limit or usable.rows < limit):
            self._mark(_Mark(usable, self._stream_bytes, rows, guarded_cells))
        self._last_point = point
        while len(self._marks) > 1 and self._marks[1].stream_bytes <= self._compressor.settled_bytes:
            self._marks.popleft()
        interval_s = CHECKPOINT_INTERVAL_S if self._has_news else IDLE_CHECKPOINT_INTERVAL_S
        if time.monotonic() - self._last_checkpoint_s >= interval_s:
            self.save(None)
            self._last_checkpoint_s = time.monotonic()
            self._has_news = False

    def _mark(self, mark: _Mark) -> None:
        # Of those that become usable together the last is the best, and small batches make many.
        settles_at = self._compressor.settles_at
        if settles_at(mark.stream_bytes) == settles_at(self._marks[-1].stream_bytes):
            self._marks[-1] = mark
        else:
            self._marks.append(mark)

    def flush(self) -> None:
        """Writes what waits for a block to be full; nothing can be written after it."""
        self._part.write(self._compressor.finish())

    def save(self, manifest: Manifest | None) -> None:
        """Makes a checkpoint; with a manifest, the one that says that all is there."""
        self._part.sync()
        mark = self._marks[0]
        self._checkpoint = replace(
            self._checkpoint,
            resume_point=mark.resume_point,
            stream_bytes=mark.stream_bytes,
            rows=mark.rows,
            guarded_cells=mark.guarded_cells,
            settled_bytes=self._compressor.settled_bytes,
            durable_bytes=self._part.checksums.size_bytes,
            sha256=self._part.checksums.sha256,
            manifest=manifest,
        )
        self._checkpoint.save(self._part.path)
