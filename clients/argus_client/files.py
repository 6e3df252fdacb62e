"""Output files: written beside their name, safe on disk before anything speaks of them."""

import errno
import io
import os
import select
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Self

import pyarrow as pa

from argus_client.compression import Compression
from argus_client.errors import OutputError
from argus_client.manifest import Checksums

if sys.platform != "win32":
    import fcntl

_NO_HARD_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}
_READ_BYTES = 1 << 20

_FORMATS_BY_ENDING = {
    ".csv": "csv",
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".arrow": "arrow",
}
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

    def write(self, data: bytes | memoryview | pa.Buffer) -> None:
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

    def check_reader(self) -> None:
        """Raises BrokenPipeError if it is a pipe whose reader has gone, which else shows only when
        something is written. (Not on Windows.)"""
        if sys.platform == "win32":
            return
        try:
            descriptor = self._file.fileno()
        except io.UnsupportedOperation:  # not a file of the system's
            return
        poll = select.poll()
        poll.register(descriptor, 0)
        if any(event & select.POLLERR for _, event in poll.poll(0)):
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


@contextmanager
def reporting_os_errors(name: str) -> Iterator[None]:
    """OSError becomes OutputError that names the file."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(f"cannot write {name}: {error.strerror or error}") from error


def refuse_existing(path: Path) -> None:
    """Raises OutputError if something has this name, be it a link to nowhere."""
    if os.path.lexists(path):
        raise OutputError(f"{path} exists already; to replace it, say so (--overwrite, or overwrite=True)")


def write_atomically(path: Path, content: bytes) -> None:
    """Gives the file this content, on disk when this returns; a crash leaves the old or the new.

    Raises OutputError.
    """
    temporary = path.with_name(f"{path.name}.tmp")
    with reporting_os_errors(str(path)):
        try:
            with temporary.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            # Whatever hinders this is less than the error under way.
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Returns when the names in the folder are on disk."""
    if sys.platform != "win32":
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def sums_of(file: BinaryIO | io.RawIOBase, size_bytes: int | None = None, *, into: Checksums) -> Checksums:
    """Checksums of the file from its start, or of so many bytes (fewer, if it ends before)."""
    file.seek(0)
    while size_bytes is None or into.size_bytes < size_bytes:
        left = _READ_BYTES if size_bytes is None else min(_READ_BYTES, size_bytes - into.size_bytes)
        data = file.read(left)
        if not data:
            break
        into.update(data)
    return into


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keeps other processes out of blocks that are locked by the same file, which stays.

    Raises OutputError if another one is in such a block. (On Windows nothing is locked.)
    """
    with reporting_os_errors(str(path)):
        file = _open_locked(path)
    with file:
        yield


def _open_locked(path: Path) -> io.FileIO:
    while True:
        file = io.FileIO(path, "r+", opener=lambda name, flags: os.open(name, flags | os.O_CREAT, 0o666))
        try:
            if sys.platform != "win32":
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_ours(file, path):
                return file
        except BlockingIOError as error:
            file.close()
            raise OutputError(f"{path} is in use by another export") from error
        except BaseException:
            file.close()
            raise
        # Another export finished with it between our opening and our locking: once more.
        file.close()


def _is_ours(file: io.FileIO, path: Path) -> bool:
    here = os.fstat(file.fileno())
    if here.st_nlink > 1:
        # A finished file whose process died before it took the .part name away. Truncating it
        # would empty the finished file.
        path.unlink()
        return False
    return here.st_nlink == 1 and path.exists() and os.path.samestat(here, path.stat())


class PartFile:
    """PATH.part: what there is of the file that will be at `path`, ours alone while it is open.

    It goes on where its content ends. Raises OutputError.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.part = part_path(path)
        self.checksums = Checksums()
        with reporting_os_errors(str(path)):
            self._file = _open_locked(self.part)
        self._output = Output(self._file, str(path))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # This gives up the lock.
        self._file.close()

    @property
    def size_bytes(self) -> int:
        """How many bytes are on file, whoever wrote them."""
        return os.fstat(self._file.fileno()).st_size

    def keep(self, size_bytes: int, sha256: str) -> None:
        """Keeps so many bytes of what an earlier process wrote, and throws away what follows.

        Raises OutputError if they are not all there, or have another SHA-256.
        """
        with reporting_os_errors(str(self.path)):
            self.checksums = sums_of(self._file, size_bytes, into=Checksums())
            if self.checksums.size_bytes < size_bytes:
                raise OutputError(
                    f"{self.part} was cut: it has {self.checksums.size_bytes:,} bytes of the "
                    f"{size_bytes:,} that were safely written; start anew without --resume"
                )
            if self.checksums.sha256 != sha256:
                raise OutputError(
                    f"{self.part} was changed: the SHA-256 of what was written differs; "
                    "start anew without --resume"
                )
            self._file.truncate(size_bytes)
            self._file.seek(size_bytes)

    def clear(self) -> None:
        """Throws away all that an earlier process wrote."""
        with reporting_os_errors(str(self.path)):
            self._file.truncate(0)
            self._file.seek(0)

    def write(self, data: bytes | memoryview | pa.Buffer) -> None:
        self._output.write(data)
        self.checksums.update(data)

    def sync(self) -> None:
        """Returns when all that was written is on disk."""
        with reporting_os_errors(str(self.path)):
            os.fsync(self._file.fileno())

    def appear(self, *, overwrite: bool) -> None:
        """Gives the file its name. Unless `overwrite`, never in the place of another one."""
        with reporting_os_errors(str(self.path)):
            if sys.platform == "win32":
                self._file.close()
            _rename(self.part, self.path, overwrite=overwrite)
            sync_folder(self.path.parent)

    def discard(self) -> None:
        """Takes PATH.part away, if it is still ours."""
        with reporting_os_errors(str(self.path)), suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(self._file.fileno()), self.part.stat()):
                if sys.platform == "win32":
                    self._file.close()
                self.part.unlink()


def part_path(path: Path) -> Path:
    """Where the file for `path` is until it is whole."""
    return path.with_name(f"{path.name}.part")


def _rename(part: Path, path: Path, *, overwrite: bool) -> None:
    if overwrite:
        part.replace(path)
        return
    try:
        # Unlike a rename, a link never takes the place of a file that came meanwhile.
        path.hardlink_to(part)
    except FileExistsError:
        refuse_existing(path)
        raise
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        refuse_existing(path)
        part.rename(path)
    else:
        part.unlink()
