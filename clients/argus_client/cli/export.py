"""`argus-client export`: events into a file, or to standard output."""

import sys
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any, Literal

import click

from argus_client.cli.following import ending_by_signal
from argus_client.cli.options import GroupedCommand, Parsed, option, server_option, whole_number
from argus_client.cli.progress import export_progress
from argus_client.cli.query_options import columns_option, query_options
from argus_client.cli.retries import retry_for_option, tell_retry
from argus_client.client import ExportClient
from argus_client.compression import Compression
from argus_client.export import Export
from argus_client.files import read_ending
from argus_client.formats import FORMATS, RenderOptions, make_renderer
from argus_client.query import EventQuery
from argus_client.rendering import DEFAULT_FORMAT
from argus_client.since import SinceLast
from argus_client.times import format_duration
from argus_client.writing import Written, write_export

EXIT_TRUNCATED = 3

_STDOUT = Path("-")
_WHAT = "What of them"
_WHERE = "Where to"
_HOW = "How it is written"

_EPILOG = """\b
Examples:
  argus-client export -o pinned.csv --type PINNED --last 8h
  argus-client export -o night.jsonl.gz --from 2024-01-31T22:00Z --to 2024-02-01T06:00Z
  argus-client export --columns all --source orders@host-7 > orders.csv
  argus-client export --since-last orders.state -o "orders-$(date +%FT%H%M).csv"
  argus-client export --follow --type PINNED --format jsonl | jq .stackTrace
  argus-client export -o slow.csv --excel --header titles --min-duration 10ms

\b
Exit codes:
  0 whole, 1 failed, 2 wrong use, 3 whole but cut by --limit, 4 not allowed,
  130 interrupted, 141 standard output was closed by its reader


What was interrupted or failed half way is kept: the same command with --resume goes on from
there, and the file ends as if nothing had happened. `argus-client verify FILE` proves it whole.
"""


@click.command("export", cls=GroupedCommand, epilog=_EPILOG)
@option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    default=_STDOUT,
    heading=_WHERE,
    help="The file to write; - is standard output.  [default: -]",
)
@option(
    "--overwrite",
    is_flag=True,
    heading=_WHERE,
    help="Replace FILE if it is there. It stays as it is until the export is whole.",
)
@option(
    "--resume",
    is_flag=True,
    heading=_WHERE,
    help="Go on with FILE where the same command was interrupted. A window of --last stays what it was.",
)
@option(
    "--since-last",
    "state_file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="STATE_FILE",
    heading=_WHERE,
    help="Just what has come in since the last export with this STATE_FILE, late timestamps included; an "
    "error, if the server has removed some of that. The first export makes the file, and it moves on when "
    "an export is whole.",
)
@option(
    "--format",
    type=click.Choice(FORMATS, case_sensitive=False),
    heading=_HOW,
    help="csv, json (one document) or jsonl (a document a line).  [default: by FILE's ending, else csv]",
    metavar="FORMAT",
)
@option(
    "--compress",
    type=click.Choice(("none", "gzip", "zstd"), case_sensitive=False),
    heading=_HOW,
    help="gzip, zstd or none.  [default: by FILE's ending .gz or .zst, else none]",
    metavar="METHOD",
)
@option(
    "--metadata",
    is_flag=True,
    heading=_HOW,
    help="csv and jsonl: begin with what the export is (# lines, a _metadata line). json always has it.",
)
@option(
    "--header",
    type=click.Choice(("names", "titles"), case_sensitive=False),
    default="names",
    show_default=True,
    metavar="STYLE",
    heading=_HOW,
    help='csv: column names, or titles such as "Duration (ns)".',
)
@option(
    "--time-precision",
    type=click.Choice(("auto", "s", "ms", "us", "ns"), case_sensitive=False),
    default="auto",
    show_default=True,
    metavar="UNIT",
    heading=_HOW,
    help="How fine timestamps are: s, ms, us or ns; auto is as fine as each needs.",
)
@option(
    "--excel",
    is_flag=True,
    heading=_HOW,
    help="csv: made for Excel: byte order mark, CRLF, and a ' before text that it would run as a formula.",
)
@query_options
@columns_option
@option(
    "--limit",
    type=Parsed("number", whole_number(1)),
    metavar="N",
    heading=_WHAT,
    help="At most N events. When that cuts, it is said, and the exit code is 3.",
)
@option(
    "--order",
    type=click.Choice(("time", "arrival"), case_sensitive=False),
    default="time",
    show_default=True,
    metavar="ORDER",
    heading=_WHAT,
    help="time: by timestamp. arrival: as they came in.",
)
@option(
    "--follow",
    is_flag=True,
    heading=_WHAT,
    help="After these, go on with new events as they come in, until Ctrl-C or SIGTERM, which end the export "
    "whole: FILE gets its name then. A second one interrupts, and so does one before new events are reached. "
    "Each batch is written at once, but with --compress when 1 MiB is full. Not for json, nor with --limit.",
)
@server_option
@retry_for_option("an export")
@click.pass_context
def export_command(
    context: click.Context,
    /,
    server: str,
    retry_for_s: float,
    query: EventQuery,
    columns: tuple[str, ...],
    limit: int | None,
    order: Literal["time", "arrival"],
    follow: bool,
    output: Path,
    overwrite: bool,
    resume: bool,
    state_file: Path | None,
    format: str | None,
    compress: Compression | None,
    **render_options: Any,
) -> None:
    """Write the matching events to a file or to standard output.

    FILE appears when the export is whole, and never else, with FILE.manifest.json, which proves it.
    Data go to standard output or FILE, all else goes to standard error.
    """
    last_ns: int | None = context.params["last"]
    if follow and limit is not None:
        raise click.UsageError("--follow and --limit cannot be given together: it has no end")
    if state_file is not None:
        _refuse_since_last_with({"--after": query.after_sequence, "--last": last_ns, "--limit": limit})
    format_of_name, compression_of_name = read_ending(output)
    format = format or format_of_name or DEFAULT_FORMAT
    if follow and format == "json":
        raise click.UsageError(
            "--follow cannot write json, which says how many events it has; take --format jsonl or csv"
        )
    options = _render_options(format, render_options)
    to_stdout = output == _STDOUT
    if resume and to_stdout:
        raise click.UsageError("--resume needs a file to go on with: --output FILE")
    with SinceLast(state_file) if state_file is not None else nullcontext() as since:
        if since is not None:
            query = since.narrow(query)
            if resume and not overwrite and since.whole_file == output.absolute():
                _tell(f"{output} is whole already")
                return
        with (
            ExportClient(server, retry_for_s=retry_for_s) as client,
            client.export(
                query, columns=columns, limit=limit, order=order, follow=follow, on_retry=tell_retry
            ) as export,
            since.explaining_refusal(client, query) if since is not None else nullcontext(),
            ending_by_signal(export) if follow else nullcontext(),
            # A bar would run through the data where both go to one terminal.
            export_progress(str(output), hidden=to_stdout and sys.stdout.isatty()) as show,
        ):
            written = write_export(
                export,
                sys.stdout.buffer if to_stdout else output,
                format=format,
                options=options,
                compression=compress or compression_of_name,
                overwrite=overwrite,
                resume=resume,
                last=format_duration(last_ns) if last_ns is not None else None,
                ledger=since,
                on_progress=partial(show_progress, show, export),
                on_notice=_tell,
            )
    if since is not None and not written.events:
        _tell("no new events since the last export")
    _tell(report_written(written, None if to_stdout else output))
    if written.is_truncated:
        context.exit(EXIT_TRUNCATED)


def _refuse_since_last_with(others: Mapping[str, int | None]) -> None:
    for flag, value in others.items():
        if value:
            raise click.UsageError(
                f"--since-last and {flag} cannot be given together: it takes all that is new, and only that"
            )


def show_progress(show: Callable[[int, int | None], None], export: Export, events: int) -> None:
    """Shows how far the export has come, with a function of export_progress."""
    show(events, None if export.is_live else export.total_rows)


def _tell(text: str) -> None:
    click.echo(text, err=True)


def _render_options(format: str, options: dict[str, Any]) -> RenderOptions:
    try:
        render_options = RenderOptions(**options)
        # Made to be asked: what a format does not have is refused before any call.
        make_renderer(format, render_options)
    except ValueError as error:
        raise click.UsageError(f"--{error}") from None
    return render_options


def report_written(written: Written, path: Path | None, row_name: str = "event") -> str:
    """What was written, for people; to a path, or to standard output."""
    parts = [tell_rows(written.events, row_name), tell_bytes(written.size_bytes)]
    if path is not None:
        parts.append(str(path))
    if written.guarded_cells:
        cells = "1 cell" if written.guarded_cells == 1 else f"{written.guarded_cells:,} cells"
        parts.append(f"a ' put before {cells} that Excel would run as a formula")
    if written.is_truncated:
        parts.append(f"cut by --limit: {written.summary.rows_remaining:,} more match")
    return ", ".join(parts)


def tell_rows(count: int, row_name: str = "event") -> str:
    """A number of events, or of groups, for people."""
    return f"{count:,} {row_name}{'' if count == 1 else 's'}"


def tell_bytes(count: int) -> str:
    """A size for people, in powers of 1,000."""
    if count < 1_000:
        return f"{count} B"
    size = float(count)
    for unit in ("kB", "MB", "GB"):
        size /= 1_000
        if size < 999.95:
            return f"{size:.1f} {unit}"
    return f"{size / 1_000:,.1f} TB"
