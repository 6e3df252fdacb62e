"""Files that are read again while the server runs."""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

import structlog

_log = structlog.get_logger()

T = TypeVar("T")

LOOK_INTERVAL_S = 0.5
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
    target has, and two writes within a clock's tick have the same.

    Raises BadFile if they cannot be used at first.
    """

    def __init__(self, paths: Sequence[Path], parse: Callable[..., T]) -> None:
        """parse: takes what each file holds, in the order of `paths`; raises BadFile."""
        self._paths = paths
        self._parse = parse
        self._contents = [read_file(path) for path in paths]
        self._trouble = ""
        self._is_told = False
        self.value: T = parse(*self._contents)

    def look(self) -> None:
        """Reads the files again, and takes what they say if it is new."""
        try:
            contents = [read_file(path) for path in self._paths]
            if contents != self._contents:
                self.value = self._parse(*contents)
                self._contents = contents
                _log.info("files_read_again", files=[str(path) for path in self._paths])
            self._trouble = ""
            self._is_told = False
        except BadFile as error:
            self._tell(str(error))

    def _tell(self, trouble: str) -> None:
        # Not at first sight: a file may be half written, and of two that go together one may be new.
        is_again, self._trouble = trouble == self._trouble, trouble
        if is_again and not self._is_told:
            _log.error("file_not_taken", trouble=trouble, in_force="what it said before")
        self._is_told = is_again


class Watcher:
    """Calls each of `looks` twice a second, in a thread of its own. Close it, which ends the thread."""

    def __init__(self, looks: Sequence[Callable[[], None]]) -> None:
        self._looks = looks
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="access-watch", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._closed.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._closed.wait(LOOK_INTERVAL_S):
            for look in self._looks:
                try:
                    look()
                except Exception:
                    # The others go on, and so does this one the next time.
                    _log.exception("look_failed")
