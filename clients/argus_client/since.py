"""Exports of what has come since the last one. A state file keeps count, so that none is missed
and none is repeated, whenever a process is killed.

A file's appearing and the state's moving cannot be one step. So the state first names the file that
is about to appear; the next run looks whether it did.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self

from argus_client.checkpoint import Checkpoint, check_asked, checkpoint_path, describe_request
from argus_client.client import ExportClient
from argus_client.errors import EventsMissed, InvalidRequest, OutputError
from argus_client.files import locked, write_atomically
from argus_client.manifest import InvalidManifest, Manifest, manifest_path, read_manifest
from argus_client.query import EventQuery
from argus_client.resumable import complete, has_appeared
from argus_grpc.v1.export_pb2 import ExportHeader, ExportSummary, StreamEventsRequest

_VERSION = 1


@dataclass(frozen=True)
class _LastFile:
    """The file that the last run wrote, or was about to."""

    path: str
    export_id: str
    watermark: int


@dataclass(frozen=True)
class _State:
    """Events up to `watermark` of the store have been exported, those that the query matches.

    Where the last file's watermark is a greater one, it is not known whether that file appeared.
    """

    store_id: str
    watermark: int
    query: Mapping[str, Any]
    last_file: _LastFile | None


class SinceLast:
    """The state in one file, ours alone within a `with` block; a Ledger for one export.

    Entering raises OutputError: another process uses the state, or it cannot be read or written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.whole_file: Path | None = None
        """The last run's file, if it is whole and still where it was written."""
        self._state: _State | None = None
        self._query: Mapping[str, Any] = {}
        self._open = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(locked(self.path.with_name(f"{self.path.name}.lock")))
            self._state = _load(self.path)
            self._settle()
            self._open = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def narrow(self, query: EventQuery) -> EventQuery:
        """The query, of what has come since the last run; of everything, if this is the first.

        Raises InvalidRequest if the state is for a query with other conditions.
        """
        described = describe_request(StreamEventsRequest(query=query.to_message()), None)
        self._query = {key: value for key, value in described.items() if key.startswith("query.")}
        if self._state is None:
            return query
        check_asked(self._state.query, self._query, str(self.path))
        return replace(query, after_sequence=self._state.watermark)

    @contextmanager
    def explaining_refusal(self, client: ExportClient, query: EventQuery) -> Iterator[None]:
        """Within it, the server's refusal of after_sequence is told as what it means for this state.

        Raises then EventsMissed, or InvalidRequest for another store.
        """
        try:
            yield
        except EventsMissed:
            # A refusal has no header, which says whose those events were.
            with client.export(replace(query, after_sequence=0)) as what_is_left:
                self.begins(what_is_left.header, is_resumed=False)
            raise

    def begins(self, header: ExportHeader, *, is_resumed: bool) -> None:
        self._check_store(header.store_id, header.watermark)
        if not is_resumed:
            self._refuse_gap(header.removed_events)

    def will_appear(self, path: Path, manifest: Manifest) -> None:
        state = self._state or _State(manifest["storeId"], 0, self._query, None)
        self._save(replace(state, last_file=_last_file(path, manifest)))

    def has_appeared(self, path: Path, manifest: Manifest) -> None:
        self._check_store(manifest["storeId"], manifest["watermark"])
        self._move(manifest["storeId"], manifest["watermark"], _last_file(path, manifest))

    def was_streamed(self, header: ExportHeader, summary: ExportSummary) -> None:
        self._move(header.store_id, summary.watermark, None)

    def _check_store(self, store_id: str, watermark: int) -> None:
        if self._state is None:
            return
        if store_id != self._state.store_id:
            raise InvalidRequest(
                f"{self.path} is for the store {self._state.store_id}, but the server has {store_id}, "
                "whose sequence numbers are others; use another state file for it"
            )
        if watermark < self._state.watermark:
            raise InvalidRequest(
                f"{self.path} says that events up to {self._state.watermark:,} were exported, but the "
                f"server's store ends at {watermark:,}: it has lost events, or an older copy took its place"
            )

    def _refuse_gap(self, removed_events: int) -> None:
        if self._state is None or removed_events <= self._state.watermark:
            return
        missed = removed_events - self._state.watermark
        raise EventsMissed(
            f"{self.path} says that events up to {self._state.watermark:,} were exported, but the server has "
            f"removed events up to {removed_events:,}: {missed:,} are gone that were never exported; to go "
            f"on with what is left, remove {self.path} (nothing is repeated by that)"
        )

    def _move(self, store_id: str, watermark: int, last_file: _LastFile | None) -> None:
        query = self._state.query if self._state is not None else self._query
        self._save(_State(store_id, watermark, query, last_file))

    def _settle(self) -> None:
        """Finds out what became of the last file, and finishes what a killed process had begun."""
        if self._state is None or self._state.last_file is None:
            return
        last_file = self._state.last_file
        path = Path(last_file.path)
        manifest = _finished_manifest(path)
        if manifest is not None and manifest["exportId"] == last_file.export_id:
            if not has_appeared(path, manifest):
                return
            if path.exists():
                complete(path, manifest, self)
            else:
                # It was there, and someone has taken it since.
                self.has_appeared(path, manifest)
                checkpoint_path(path).unlink(missing_ok=True)
        else:
            try:
                manifest = read_manifest(manifest_path(path))
            except (OSError, InvalidManifest):
                return
            if manifest["exportId"] != last_file.export_id:
                return
            if last_file.watermark > self._state.watermark:
                self.has_appeared(path, manifest)
        self.whole_file = path if path.exists() else None

    def _save(self, state: _State) -> None:
        document = {"stateVersion": _VERSION, **asdict(state)}
        write_atomically(self.path, (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode())
        self._state = state


def _last_file(path: Path, manifest: Manifest) -> _LastFile:
    return _LastFile(str(path.absolute()), manifest["exportId"], manifest["watermark"])


def _finished_manifest(path: Path) -> Manifest | None:
    """The manifest in the checkpoint of a file whose finish was interrupted."""
    with suppress(OutputError):
        checkpoint = Checkpoint.load(path)
        if checkpoint is not None:
            return checkpoint.manifest
    return None


def _load(path: Path) -> _State | None:
    try:
        document = json.loads(path.read_bytes())
        if document.pop("stateVersion") != _VERSION:
            raise OutputError(f"{path} was written by another version of argus-client")
        if document["last_file"] is not None:
            document["last_file"] = _LastFile(**document["last_file"])
        return _State(**document)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise OutputError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise OutputError(f"{path} is not a state file of argus-client, or a damaged one") from error
