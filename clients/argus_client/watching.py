"""Which files of a folder are there to be taken, and which have been."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from argus_client.errors import SourceError
from argus_client.files import write_atomically
from argus_client.sources import files_in

STATE_NAME = ".argus-client-ingested.json"

_VERSION = 1
_WHAT = "What `argus-client ingest --watch` has stored of this folder, by server, to not read it again."


@dataclass(frozen=True)
class _Stamp:
    """What changes when a file's content does."""

    size_bytes: int
    modified_ns: int


@dataclass(frozen=True)
class FoundFile:
    """A file as it was at the time of a look."""

    path: Path
    key: str
    stamp: _Stamp


class WatchedFolder:
    """The files in a folder, and in those in it, that are new or replaced and grow no more.

    What was taken is kept in a file in the folder, for each server, so that another process goes on
    there. Raises SourceError if the folder or that file cannot be read, OutputError if it cannot be
    written.

    target: the server, by its address.
    """

    def __init__(self, folder: Path, target: str) -> None:
        self.folder = folder
        self.state_path = folder / STATE_NAME
        self._target = target
        self._stamps: dict[str, _Stamp] = {}
        self._refused: dict[str, _Stamp] = {}
        if not folder.is_dir():
            raise SourceError(f"{folder} is not there, or no folder")
        self._all_taken = _load(self.state_path)
        self._taken = self._all_taken.setdefault(target, {})
        # So that it is known from the start that it can be.
        self._save()

    def look(self) -> list[FoundFile]:
        """The files to take, by name: they are as they were at the look before this one, and have been
        neither taken nor refused as they are."""
        before, self._stamps = self._stamps, {}
        found = []
        try:
            for path in files_in(self.folder):
                key = path.relative_to(self.folder).as_posix()
                status = path.stat()
                stamp = self._stamps[key] = _Stamp(status.st_size, status.st_mtime_ns)
                if before.get(key) == stamp and stamp not in (self._taken.get(key), self._refused.get(key)):
                    found.append(FoundFile(path, key, stamp))
        except FileNotFoundError:
            if not self.folder.is_dir():
                raise SourceError(f"{self.folder} is not there any more, or no folder") from None
            # A folder or a file in it went away meanwhile; the next look shows the rest.
            self._stamps = before | self._stamps
        except OSError as error:
            raise SourceError(f"{error.filename} cannot be read: {error.strerror}") from error
        return found

    def take(self, file: FoundFile) -> None:
        """Remembers that a file has been stored, and forgets those that are gone."""
        self._refused.pop(file.key, None)
        self._taken[file.key] = file.stamp
        for key in self._taken.keys() - self._stamps.keys():
            del self._taken[key]
        self._save()

    def refuse(self, file: FoundFile) -> None:
        """Leaves a file out until it changes."""
        self._refused[file.key] = file.stamp

    def _save(self) -> None:
        taken = {
            target: {key: [stamp.size_bytes, stamp.modified_ns] for key, stamp in stamps.items()}
            for target, stamps in self._all_taken.items()
        }
        document = {"what": _WHAT, "version": _VERSION, "sizeBytesAndModifiedNs": taken}
        write_atomically(self.state_path, (json.dumps(document, indent=1) + "\n").encode())


def _load(path: Path) -> dict[str, dict[str, _Stamp]]:
    try:
        document = json.loads(path.read_bytes())
        if document["version"] != _VERSION:
            raise ValueError(f"version {document['version']}")
        taken: Mapping[str, Mapping[str, tuple[int, int]]] = document["sizeBytesAndModifiedNs"]
        return {
            target: {key: _Stamp(*stamp) for key, stamp in stamps.items()} for target, stamps in taken.items()
        }
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise SourceError(
            f"{path} is damaged, or of another version ({error}); remove it to have all files read again: "
            "what was stored in the last days is not stored twice"
        ) from error
