"""A file of lines that only grows, and may be moved away at any time."""

import os
import stat
from collections import deque
from itertools import islice
from pathlib import Path

_LINES_AT_ONCE = 256


class AppendedFile:
    """Opens a file for its owner alone, made where there is none. A last line that a kill left torn is ended.

    To be used by one thread. Raises OSError.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._written_of_first = 0
        self.is_unsynced = False
        """Whether lines have been written that may not be on disk yet."""
        self._open()

    def append(self, lines: deque[bytes]) -> None:
        """Writes the lines, and takes each out of there that is written whole. Raises OSError; what has been
        written of a line is not written again by the next call, which is to begin with the same line."""
        self._open_again_if_moved()
        while lines:
            data = b"".join(islice(lines, _LINES_AT_ONCE))
            written = self._written_of_first + os.write(self._descriptor, data[self._written_of_first :])
            self.is_unsynced = True
            while lines and written >= len(lines[0]):
                written -= len(lines.popleft())
            self._written_of_first = written

    def sync(self) -> None:
        """Returns once all lines are on disk."""
        os.fsync(self._descriptor)
        self.is_unsynced = False

    def close(self) -> None:
        os.close(self._descriptor)

    def _open(self) -> None:
        flags = os.O_APPEND | os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK
        self._descriptor = os.open(self._path, flags, 0o600)
        try:
            self._stat = os.fstat(self._descriptor)
            if not stat.S_ISREG(self._stat.st_mode):
                raise OSError("it is not a regular file")
            if self._stat.st_size and os.pread(self._descriptor, 1, self._stat.st_size - 1) != b"\n":
                os.write(self._descriptor, b"\n")
        except OSError:
            os.close(self._descriptor)
            raise

    def _open_again_if_moved(self) -> None:
        try:
            is_there = os.path.samestat(self._path.stat(), self._stat)
        except FileNotFoundError:
            is_there = False
        if is_there:
            return
        moved = self._descriptor
        if self.is_unsynced:
            self.sync()
        self._open()
        os.close(moved)
        # A line whose beginning is in the other file is whole in this one.
        self._written_of_first = 0
