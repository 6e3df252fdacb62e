"""What a recording's chunk headers say, so that a file that is not whole is refused at once.

The JDK's `jfr` finds most of this too, but late, in its own terms, or never: a chunk that claims
to have no bytes makes it run for ever.
"""

import struct
from dataclasses import dataclass
from pathlib import Path

from argus_client.errors import SourceError

MAGIC = b"FLR\0"

# The header's beginning: magic, major and minor version, the chunk's size with its header, all
# big-endian. At byte 64 the file's state; 0: finished.
_HEADER = struct.Struct(">4sHHQ")
_HEADER_BYTES = 68
_STATE_AT = 64
_FIRST_MAJOR_WITH_STATE = 2


class Incomplete(SourceError):
    """The recording is cut off, or not finished: the rest of it may be on its way."""


@dataclass(frozen=True)
class Recording:
    """A recording's file, and how messages call it."""

    path: Path
    name: str

    def __str__(self) -> str:
        return self.name


def check_chunks(recording: Recording) -> None:
    """Walks the chunks from header to header. Raises SourceError unless they fill the file exactly
    and are finished, Incomplete where more bytes may mend that; OSError if the file cannot be read."""
    path = recording.path
    end = path.stat().st_size
    start = 0
    with path.open("rb") as file:
        while start < end:
            file.seek(start)
            header = file.read(_HEADER_BYTES)
            if not header.startswith(MAGIC[: len(header)]):
                raise SourceError(
                    f"{recording} is damaged: at byte {start:,}, where a chunk should begin, none does"
                )
            if len(header) < _HEADER_BYTES:
                raise Incomplete(
                    f"{recording} is cut off: the chunk at byte {start:,} has {len(header)} bytes, "
                    f"fewer than its header's {_HEADER_BYTES}"
                )
            _, major, _, size = _HEADER.unpack_from(header)
            if major >= _FIRST_MAJOR_WITH_STATE and header[_STATE_AT] != 0:
                raise Incomplete(
                    f"{recording} is not finished: the JVM is still writing its chunk at byte {start:,}, or "
                    "ended before it could; take a recording with `jcmd PID JFR.dump` or at the JVM's exit"
                )
            if size < _HEADER_BYTES:
                raise SourceError(
                    f"{recording} is damaged: the chunk at byte {start:,} says it has {size} bytes"
                )
            if size > end - start:
                raise Incomplete(
                    f"{recording} is cut off: the chunk at byte {start:,} should have {size:,} bytes "
                    f"and has {end - start:,}"
                )
            start += size
