"""Files that are read again while the server runs."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

import structlog

_log = structlog.get_logger()

T = TypeVar("T")

LOOK_INTERVAL_S = 0.4
"""What is new is taken at the second look: within a second."""
MAX_FILE_BYTES = 64 * 1024 * 1024


class BadFile(Exception):
    """A file of the configuration cannot be used. `str()` names it and says why, and shows no secret."""


def read_file(path: Path) -> bytes:
    """Raises BadFile if it cannot be read, or has more than MAX_FILE_BYTES."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise BadFile(f"{path}: cannot be read: {error.strerror or error}") from None
    if len(content) > MAX_FILE_BYTES:
        raise BadFile(f"{path}: is larger than {MAX_FILE_BYTES} bytes")
    return content


class Watched(Generic[T]):
    """What files say now. A version that cannot be used is told in the log, and changes nothing.

    Files are compared by what they hold, since a link that points elsewhere has whatever times its new
    target has, and two writes within a clock's tick have the same. A version is new once two looks in a row
    have found it: at first sight it may be half written, and the beginning of a policy may allow more than
    the whole.

    Raises BadFile if they cannot be used at first.
    """

    def __init__(self, paths: Sequence[Path], parse: Callable[..., T]) -> None:
        """parse: takes what each file holds, in the order of `paths`; raises BadFile."""
        self._paths = paths
        self._parse = parse
        self._contents = self._seen = [read_file(path) for path in paths]
        self._trouble = ""
        self._is_told = False
        self.value: T = parse(*self._contents)

    def look(self) -> None:
        """Reads the files again, and takes what they say if it is new, and the look before found it too."""
        try:
            contents = [read_file(path) for path in self._paths]
            if contents != self._seen:
                self._seen = contents
                return
            if contents != self._contents:
                self.value = self._parse(*contents)
                self._contents = contents
                _log.info("files_read_again", files=[str(path) for path in self._paths])
            self._trouble = ""
            self._is_told = False
        except BadFile as error:
            self._tell(str(error))

    def _tell(self, trouble: str) -> None:
        # Not at once: of two files that go together one may be new, and none be there for a moment.
        is_again, self._trouble = trouble == self._trouble, trouble
        if is_again and not self._is_told:
            _log.error("file_not_taken", trouble=trouble, in_force="what it said before")
        self._is_told = is_again
