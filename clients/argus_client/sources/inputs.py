"""Where a source's bytes come from: a file or standard input, compressed or not."""

import io
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO, Protocol, cast

import pyarrow as pa

from argus_client.errors import SourceError
from argus_client.files import read_ending

STDIN = Path("-")

HEAD_BYTES = 64 * 1024

_READ_BYTES = 256 * 1024

# RFC 1952, section 2.3.1, and RFC 8878, section 3.1.1.
_CODECS_BY_MAGIC: Mapping[bytes, str] = MappingProxyType({b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"})
_MAGIC_BYTES = max(map(len, _CODECS_BY_MAGIC))


class Input:
    """The bytes of a file, or of standard input (STDIN), without the compression they may have.

    name: how messages call it.
    ending: of the file's name, such as ".csv", without that of a compression.
    default_source: the source of events of which nothing else says one.
    size_bytes: as they are stored; None: not known.
    head: the first HEAD_BYTES.

    Raises SourceError whenever it turns out that something cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size_bytes: int | None = None
        self._stored = _Reads(b"", io.BytesIO(), "")
        self._stdin: io.BufferedReader | None = None
        self._is_compressed = False
        if path == STDIN:
            self.name, self.default_source, self.ending = "standard input", "stdin", ""
            self._stdin = self._uncompressed(cast(io.BufferedReader, sys.stdin.buffer))
            self.head = self._stdin.read(HEAD_BYTES)
            self._stdin = _buffered(_Reads(self.head, self._stdin, self.name))
            return
        self.name = str(path)
        _, compression = read_ending(path)
        named = path if compression == "none" else path.with_suffix("")
        # U+FFFD stands for bytes of the name that are not UTF-8.
        self.default_source = os.fsencode(named.stem).decode(errors="replace")
        self.ending = named.suffix.lower()
        with self.open() as file:
            self.head = file.read(HEAD_BYTES)

    @property
    def fraction(self) -> float | None:
        """How much has been read of what was opened last, 0 to 1; None: not known."""
        if self.size_bytes is None:
            return None
        return min(self._stored.read_bytes / self.size_bytes, 1.0) if self.size_bytes else 1.0

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        """Gives the bytes from the start: a file's as often as asked, standard input's once. A read
        has fewer bytes than asked for at the end only."""
        if self._stdin is not None:
            yield self._stdin
            return
        with _telling_errors(self.name):
            file = self.path.open("rb")
        with file:
            self.size_bytes = os.fstat(file.fileno()).st_size
            yield self._uncompressed(file)

    @property
    def is_copied_to_file(self) -> bool:
        """Whether as_file() makes a copy."""
        return self._stdin is not None or self._is_compressed

    @contextmanager
    def as_file(self) -> Iterator[Path]:
        """Gives a file that has the bytes: this one where it has, else a copy for the time being."""
        if not self.is_copied_to_file:
            yield self.path
            return
        with tempfile.TemporaryDirectory(prefix="argus-") as folder:
            copy = Path(folder, "copy")
            with self.open() as file, copy.open("wb") as target:
                shutil.copyfileobj(file, target, _READ_BYTES)
            yield copy

    def _uncompressed(self, stored: io.BufferedReader) -> io.BufferedReader:
        with _telling_errors(self.name):
            magic = stored.read(_MAGIC_BYTES)
        self._stored = _Reads(magic, stored, self.name)
        codec = next((codec for known, codec in _CODECS_BY_MAGIC.items() if magic.startswith(known)), None)
        self._is_compressed = codec is not None
        if codec is None:
            return _buffered(self._stored)
        stream = pa.CompressedInputStream(pa.PythonFile(_buffered(self._stored), "r"), codec)
        return _buffered(_Reads(b"", stream, self.name))


class _Readable(Protocol):
    """Python's files, and pyarrow's."""

    def readinto(self, buffer: Any, /) -> int: ...


class _Reads(io.RawIOBase):
    """Reads `head` and then `rest`, and counts the bytes. What hinders it becomes a SourceError."""

    def __init__(self, head: bytes, rest: _Readable, name: str) -> None:
        self.read_bytes = 0
        self._head = head
        self._rest = rest
        self._name = name

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        size = len(buffer)
        if self._head:
            data, self._head = self._head[:size], self._head[size:]
            count = len(data)
            buffer[:count] = data
        else:
            with _telling_errors(self._name):
                # Not read(): that of pyarrow's streams never frees its memory when it fails.
                count = self._rest.readinto(buffer)
        self.read_bytes += count
        return count


def _buffered(reads: _Reads) -> io.BufferedReader:
    return io.BufferedReader(reads, _READ_BYTES)


@contextmanager
def _telling_errors(name: str) -> Iterator[None]:
    try:
        yield
    except pa.ArrowException as error:
        raise SourceError(f"{name} is damaged: {error}") from error
    except OSError as error:
        reason = error.strerror or f"its compressed data are cut off or damaged ({error})"
        raise SourceError(f"{name} cannot be read: {reason}") from error
