"""Output files that are there whole, or not at all."""

import errno
import io
import os
import sys
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Literal, Protocol

import pyarrow as pa

from argus_client.errors import OutputError

if sys.platform != "win32":
    import fcntl

Compression = Literal["none", "gzip", "zstd"]

_GZIP_WBITS = 31  # zlib's sign for a gzip header; it writes one without a time, so bytes repeat
_GZIP_LEVEL = 6
_ZSTD_LEVEL = 3
_ZSTD_FRAME_BYTES = 1 << 20
_NO_HARD_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


_FORMATS_BY_ENDING = {".csv": "csv", ".json": "json", ".jsonl": "jsonl", ".ndjson": "jsonl"}
_COMPRESSIONS_BY_ENDING: Mapping[str, Compression] = {".gz": "gzip", ".zst": "zstd"}


def read_ending(path: Path) -> tuple[str | None, Compression]:
    """The format and compression that a file's name says, such as those of events.csv.gz."""
    compression = _COMPRESSIONS_BY_ENDING.get(path.suffix.lower(), "none")
    inner = path.with_suffix("") if compression != "none" else path
    return _FORMATS_BY_ENDING.get(inner.suffix.lower()), compression


class Output:
    """A binary file that takes all it is given and counts the bytes. OSError becomes OutputError,
    but a reader that went away stays a BrokenPipeError."""

    def __init__(self, file: BinaryIO | io.RawIOBase, name: str) -> None:
        self._file = file
        self._name = name
        self.bytes_written = 0

    def write(self, data: bytes | pa.Buffer) -> None:
        view = memoryview(data)
        with reporting_os_errors(self._name):
            while view:
                # Unbuffered files may take a part only.
                written = self._file.write(view) or 0
                self.bytes_written += written
                view = view[written:]

    def flush(self) -> None:
        with reporting_os_errors(self._name):
            self._file.flush()


class Compressor(Protocol):
    """Turns bytes into compressed bytes, as they come."""

    def compress(self, data: Any, /) -> bytes: ...
    def flush(self) -> bytes: ...


class _NoCompressor:
    def compress(self, data: Any, /) -> Any:
        return data

    def flush(self) -> bytes:
        return b""


class _ZstdCompressor:
    """Frames of about a mebibyte, one after the other, which the format allows (RFC 8878, 3.1)."""

    def __init__(self) -> None:
        self._codec = pa.Codec("zstd", compression_level=_ZSTD_LEVEL)
        self._pending: list[Any] = []
        self._pending_bytes = 0
        self._has_frame = False

    def compress(self, data: Any, /) -> bytes:
        self._pending.append(data)
        self._pending_bytes += len(data)
        return self._frame() if self._pending_bytes >= _ZSTD_FRAME_BYTES else b""

    def flush(self) -> bytes:
        # Nothing at all is an empty frame: no bytes are no zstd file.
        return self._frame() if self._pending or not self._has_frame else b""

    def _frame(self) -> bytes:
        frame: bytes = self._codec.compress(b"".join(self._pending), asbytes=True)
        self._pending, self._pending_bytes, self._has_frame = [], 0, True
        return frame


def make_compressor(compression: Compression) -> Compressor:
    """A compressor whose output is the same for the same input, whenever it is made."""
    match compression:
        case "none":
            return _NoCompressor()
        case "gzip":
            return zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, _GZIP_WBITS)
        case "zstd":
            return _ZstdCompressor()


@contextmanager
def reporting_os_errors(name: str) -> Iterator[None]:
    """OSError becomes OutputError that names the file."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(f"cannot write {name}: {error.strerror or error}") from error


@contextmanager
def whole_file(path: Path, *, overwrite: bool) -> Iterator[io.RawIOBase]:
    """A file that appears at `path`, synced to disk, when the block ends well, and never else.

    Until then it is PATH.part beside it, which a block that fails takes away. A path that names a
    device or a pipe is written to as it is.

    Raises OutputError: the path exists and `overwrite` is False, another export is writing it, or
    it cannot be written.
    """
    if path.is_dir():
        raise OutputError(f"{path} is a folder; name a file in it")
    if path.exists() and not path.is_file():
        with reporting_os_errors(str(path)):
            device = path.open("wb", buffering=0)
        with device:
            yield device
        return
    if not overwrite:
        _refuse_existing(path)
    part = path.with_name(f"{path.name}.part")
    with reporting_os_errors(str(path)):
        file = _open_part(part)
    try:
        yield file
        with reporting_os_errors(str(path)):
            os.fsync(file.fileno())
            if sys.platform == "win32":
                file.close()
            _rename(part, path, overwrite=overwrite)
            _sync_folder(path.parent)
    except BaseException:
        if sys.platform == "win32":
            file.close()
        part.unlink(missing_ok=True)
        raise
    finally:
        # Last, since closing gives up the lock.
        file.close()


def _refuse_existing(path: Path) -> None:
    if os.path.lexists(path):
        raise OutputError(f"{path} exists already; to replace it, say so (--overwrite, or overwrite=True)")


def _open_part(part: Path) -> io.RawIOBase:
    while True:
        file = part.open("ab", buffering=0)
        try:
            _lock(file, part)
            if _is_ours(file, part):
                file.truncate(0)
                return file
        except BaseException:
            file.close()
            raise
        # Another export finished with it between our opening and our locking: once more.
        file.close()


def _lock(file: io.RawIOBase, part: Path) -> None:
    if sys.platform != "win32":
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise OutputError(f"{part} is being written by another export") from error


def _is_ours(file: io.RawIOBase, part: Path) -> bool:
    here = os.fstat(file.fileno())
    if here.st_nlink > 1:
        # A finished file whose process died before it took the .part name away. Truncating it
        # would empty the finished file.
        part.unlink()
        return False
    return here.st_nlink == 1 and part.exists() and os.path.samestat(here, part.stat())


def _rename(part: Path, path: Path, *, overwrite: bool) -> None:
    if overwrite:
        part.replace(path)
        return
    try:
        # Unlike a rename, a link never takes the place of a file that came meanwhile.
        path.hardlink_to(part)
    except FileExistsError:
        _refuse_existing(path)
        raise
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        _refuse_existing(path)
        part.rename(path)
    else:
        part.unlink()


def _sync_folder(folder: Path) -> None:
    if sys.platform != "win32":
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
