"""Files written so that, whenever a process is killed, the next one can go on with its file.

What is on disk at any moment, and what --resume makes of it:

    FILE.part, its checkpoint   cuts the part to what the checkpoint speaks of, and goes on there
    the same, "manifest" in it  all was written: gives the part its name, and so on
    FILE, that checkpoint       writes FILE.manifest.json, and takes the checkpoint away
    FILE, FILE.manifest.json    nothing is left to do
"""

from collections.abc import Callable, Mapping
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from argus_client.background import Background
from argus_client.checkpoint import Checkpoint, check_asked, checkpoint_path, describe_request
from argus_client.checkpointing import CheckpointedWriter
from argus_client.errors import InvalidRequest, OutputError, ResumeRefused
from argus_client.files import PartFile, part_path, refuse_existing, reporting_os_errors, write_atomically
from argus_client.manifest import InvalidManifest, Manifest, manifest_path, read_manifest
from argus_client.rendering import FileForm, render_export
from argus_client.verification import compare
from argus_grpc.v1.export_pb2 import ExportHeader, ExportSummary

if TYPE_CHECKING:
    from argus_client.export import Export

# Two for each batch: so many batches wait in memory to be written.
_MAX_WAITING_CALLS = 4


class Ledger(Protocol):
    """Keeps account of what has been exported. An error of its own ends the export."""

    def begins(self, header: ExportHeader, *, is_resumed: bool) -> None:
        """Before anything is written, or anything more of an interrupted export."""

    def will_appear(self, path: Path, manifest: Manifest) -> None:
        """All is written, and nothing has the file's name yet."""

    def has_appeared(self, path: Path, manifest: Manifest) -> None:
        """The file and its manifest are there. May be called again when it was interrupted."""

    def was_streamed(self, header: ExportHeader, summary: ExportSummary) -> None:
        """All was written to something that is not a file."""


class FileExport:
    """The writing of one export to one file.

    last: the window that the query's start came from, see describe_request().
    on_notice: called with sentences on what is done about earlier, unfinished exports, and on events
        that the server no longer has.
    """

    def __init__(
        self,
        export: "Export",
        path: Path,
        form: FileForm,
        *,
        overwrite: bool,
        last: str | None = None,
        ledger: Ledger | None = None,
        on_progress: Callable[[int], None] | None = None,
        on_notice: Callable[[str], None] | None = None,
    ) -> None:
        self._export = export
        self._path = path
        self._form = form
        self._overwrite = overwrite
        self._ledger = ledger
        self._on_progress = on_progress
        self._on_notice = on_notice
        self._client_version = version("argus-export")
        self._can_be_resumed = False
        self._asked: Mapping[str, Any] = {
            **describe_request(export.request, last),
            **form.described(),
            "client_version": self._client_version,
        }

    def write(self, *, resume: bool) -> tuple[Manifest, ExportSummary]:
        """Writes the file, or with `resume` what is missing of it.

        Raises OutputError, InvalidRequest if the interrupted export was asked for differently, and
        what the export raises. A note on the error says how to go on.
        """
        if self._path.is_dir():
            raise OutputError(f"{self._path} is a folder; name a file in it")
        if not resume and not self._overwrite:
            refuse_existing(self._path)
        with PartFile(self._path) as part:
            try:
                return self._resume(part) if resume else self._write_anew(part)
            except BaseException as error:
                if not checkpoint_path(self._path).exists():
                    # Without it the part is of no use.
                    part.discard()
                elif self._can_be_resumed or isinstance(error, KeyboardInterrupt):
                    error.add_note(_how_to_go_on(error, part.part))
                raise

    def _resume(self, part: PartFile) -> tuple[Manifest, ExportSummary]:
        checkpoint = Checkpoint.load(self._path)
        if checkpoint is None:
            if self._path.exists() and not self._overwrite:
                part.discard()
                return self._found_whole()
            self._notify(f"{self._path} has no unfinished export to resume; it starts from the beginning")
            return self._write_anew(part)
        try:
            checkpoint.check_asked(self._asked)
        except InvalidRequest as error:
            error.add_note("Without --resume a new export begins, and what is there is thrown away.")
            raise
        if checkpoint.manifest is not None:
            return self._finish_interrupted(part, checkpoint.manifest)
        if not self._overwrite:
            refuse_existing(self._path)
        part.keep(checkpoint.durable_bytes, checkpoint.sha256)
        self._can_be_resumed = True
        after = f"{checkpoint.resume_point.rows:,} {self._export.row_name}s"
        self._notify(f"going on with {self._path} after {after}")
        request = self._export.request
        # The window that --last meant then, not now.
        request.query.CopyFrom(checkpoint.request.query)
        self._export.go_on_from(request, checkpoint.resume_point)
        if self._begin(is_resumed=True).store_id != checkpoint.store_id:
            raise ResumeRefused("the server has another store than the interrupted export came from")
        return self._write_rest(part, checkpoint)

    def _found_whole(self) -> tuple[Manifest, ExportSummary]:
        try:
            manifest = read_manifest(manifest_path(self._path))
        except (OSError, InvalidManifest):
            refuse_existing(self._path)
            raise
        check_asked(manifest["request"], self._asked, f"the export that is whole in {self._path}")
        if problems := compare(self._path, manifest):
            raise OutputError(f"{self._path} exists already, and is not whole: {'; '.join(problems)}")
        if self._ledger is not None:
            self._ledger.has_appeared(self._path, manifest)
        self._notify(f"{self._path} is whole already")
        return manifest, manifest.summary

    def _finish_interrupted(self, part: PartFile, manifest: Manifest) -> tuple[Manifest, ExportSummary]:
        if not has_appeared(self._path, manifest):
            part.keep(manifest["bytes"], manifest["sha256"])
            self._can_be_resumed = True
            self._finish(part, manifest)
        elif self._path.exists():
            if problems := compare(self._path, manifest):
                raise OutputError(
                    f"{self._path} is not what the interrupted export wrote: {'; '.join(problems)}; "
                    "start anew without --resume"
                )
            part.discard()
            complete(self._path, manifest, self._ledger)
        else:
            self._notify(f"{self._path} was whole, but is gone since; it starts from the beginning")
            return self._write_anew(part)
        self._notify(f"{self._path} was written to its end already; its finish was missing")
        return manifest, manifest.summary

    def _write_anew(self, part: PartFile) -> tuple[Manifest, ExportSummary]:
        if not self._overwrite:
            _refuse_foreign(manifest_path(self._path))
        header = self._begin(is_resumed=False)
        checkpoint = Checkpoint(
            asked=self._asked,
            request=self._export.request,
            resume_point=self._export.resume_point,
            stream_bytes=0,
            guarded_cells=0,
            settled_bytes=0,
            durable_bytes=0,
            sha256=part.checksums.sha256,
            store_id=header.store_id,
            removed_events=header.removed_events,
        )
        # Not before the new export has begun.
        self._discard_earlier(part)
        self._can_be_resumed = True
        checkpoint.save(self._path)
        if notice := tell_removed(header):
            self._notify(notice)
        return self._write_rest(part, checkpoint)

    def _discard_earlier(self, part: PartFile) -> None:
        try:
            earlier = Checkpoint.load(self._path)
        except OutputError:
            earlier = None
        if earlier is not None:
            could = "; --resume would have gone on with it" if earlier.asked == self._asked else ""
            events = f"{earlier.resume_point.rows:,} events"
            self._notify(f"an unfinished export of {self._path} ({events}) is thrown away{could}")
        with reporting_os_errors(str(self._path)):
            checkpoint_path(self._path).unlink(missing_ok=True)
        part.clear()

    def _begin(self, *, is_resumed: bool) -> ExportHeader:
        header = self._export.header
        if self._ledger is not None:
            self._ledger.begins(header, is_resumed=is_resumed)
        return header

    def _write_rest(self, part: PartFile, checkpoint: Checkpoint) -> tuple[Manifest, ExportSummary]:
        writer = CheckpointedWriter(part, checkpoint, self._form.compression)
        # Hashing and writing take about as long as receiving and rendering.
        with Background(_MAX_WAITING_CALLS) as background:
            guarded_cells = render_export(
                self._export,
                self._form,
                partial(background.do, writer.write),
                is_begun=checkpoint.stream_bytes > 0,
                guarded_cells=checkpoint.guarded_cells,
                after_batch=lambda guarded: background.do(writer.pause, self._export.resume_point, guarded),
                on_progress=self._on_progress,
            )
            background.do(writer.flush)
            background.finish()
        manifest = Manifest.of(
            self._path.name,
            self._export.header,
            self._export.summary,
            part.checksums,
            request=self._asked,
            form=self._form.described(),
            guarded_cells=guarded_cells,
            removed_events=checkpoint.removed_events,
            client_version=self._client_version,
        )
        writer.save(manifest)
        self._finish(part, manifest)
        return manifest, self._export.summary

    def _finish(self, part: PartFile, manifest: Manifest) -> None:
        if self._ledger is not None:
            self._ledger.will_appear(self._path, manifest)
        part.appear(overwrite=self._overwrite)
        complete(self._path, manifest, self._ledger)

    def _notify(self, notice: str) -> None:
        if self._on_notice is not None:
            self._on_notice(notice)


def tell_removed(header: ExportHeader) -> str | None:
    """A sentence on events that an export would have begun with, but that are gone; None if none are."""
    if not header.removed_events or header.query.after_sequence:
        return None
    which = "event" if header.removed_events == 1 else f"{header.removed_events:,} events"
    return f"the server no longer has its first {which}"


def has_appeared(path: Path, manifest: Manifest) -> bool:
    """Whether an interrupted finish got as far as giving the part its name.

    The name .part is then gone, a second name of the file, or one that was made anew and is empty.
    """
    try:
        part = part_path(path).stat()
    except FileNotFoundError:
        return True
    return part.st_nlink > 1 or (part.st_size == 0 and (manifest["bytes"] > 0 or path.exists()))


def complete(path: Path, manifest: Manifest, ledger: Ledger | None) -> None:
    """The last steps of a finish, once the file has its name. Raises OutputError."""
    write_atomically(manifest_path(path), manifest.to_json())
    if ledger is not None:
        ledger.has_appeared(path, manifest)
    with reporting_os_errors(str(path)):
        checkpoint_path(path).unlink(missing_ok=True)


def _refuse_foreign(manifest_file: Path) -> None:
    try:
        read_manifest(manifest_file)
    except FileNotFoundError:
        return
    except (OSError, InvalidManifest) as error:
        raise OutputError(
            f"{manifest_file} is there, and {error}; to replace it, say so (--overwrite, or overwrite=True)"
        ) from error


def _how_to_go_on(error: BaseException, part: Path) -> str:
    if isinstance(error, ResumeRefused):
        return f"{part} cannot be gone on with; without --resume a new export begins."
    return f"What came is kept in {part}; the same command with --resume goes on from there."
