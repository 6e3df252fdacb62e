"""`argus-client export`: events into a file, or to standard output."""

from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Literal

import click

from argus_client.cli.following import ending_by_signal
from argus_client.cli.options import GroupedCommand, option
from argus_client.cli.output_options import EXIT_CODES, WHERE, Output, output_options, tell
from argus_client.cli.query_options import WHAT, columns_option, limit_option, query_options
from argus_client.cli.retries import retry_for_option, tell_retry
from argus_client.cli.server_options import Server, server_options
from argus_client.formats import NOT_FOLLOWED
from argus_client.query import EventQuery
from argus_client.since import SinceLast

_EPILOG = f"""\b
Examples:
  argus-client export -o pinned.csv --type PINNED --last 8h
  argus-client export -o night.jsonl.gz --from 2024-01-31T22:00Z --to 2024-02-01T06:00Z
  argus-client export --columns all --source orders@host-7 > orders.csv
  argus-client export --since-last orders.state -o "orders-$(date +%FT%H%M).csv"
  argus-client export --follow --type PINNED --format jsonl | jq .stackTrace
  argus-client export -o slow.csv --excel --header titles --min-duration 10ms

\b
{EXIT_CODES}

What was interrupted or failed half way is kept: the same command with --resume goes on from
there, and the file ends as if nothing had happened. `argus-client verify FILE` proves it whole.
"""


@click.command("export", cls=GroupedCommand, epilog=_EPILOG)
@output_options
@option(
    "--since-last",
    "state_file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="STATE_FILE",
    heading=WHERE,
    help="Just what has come in since the last export with this STATE_FILE, late timestamps included; an "
    "error, if the server has removed some of that. The first export makes the file, and it moves on when "
    "an export is whole.",
)
@query_options
@columns_option
@limit_option("events")
@option(
    "--order",
    type=click.Choice(("time", "arrival"), case_sensitive=False),
    default="time",
    show_default=True,
    metavar="ORDER",
    heading=WHAT,
    help="time: by timestamp. arrival: as they came in.",
)
@option(
    "--follow",
    is_flag=True,
    heading=WHAT,
    help="After these, go on with new events as they come in, until Ctrl-C or SIGTERM, which end the export "
    "whole: FILE gets its name then. A second one interrupts, and so does one before new events are reached. "
    "Each batch is written at once, but with --compress when 1 MiB is full. csv and jsonl "
    "only, and not with --limit.",
)
@server_options
@retry_for_option("an export")
@click.pass_context
def export_command(
    context: click.Context,
    /,
    server: Server,
    retry_for_s: float,
    query: EventQuery,
    columns: tuple[str, ...],
    limit: int | None,
    order: Literal["time", "arrival"],
    follow: bool,
    output: Output,
    state_file: Path | None,
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
    if follow and output.form.format in NOT_FOLLOWED:
        raise click.UsageError(
            f"--follow cannot write {output.form.format}, which {NOT_FOLLOWED[output.form.format]}; take "
            "--format jsonl or csv"
        )
    with SinceLast(state_file) if state_file is not None else nullcontext() as since:
        if since is not None:
            query = since.narrow(query)
            if (
                output.resume
                and not output.overwrite
                and output.path is not None
                and since.whole_file == output.path.absolute()
            ):
                tell(f"{output.path} is whole already")
                return
        with (
            server.client(retry_for_s) as client,
            client.export(
                query, columns=columns, limit=limit, order=order, follow=follow, on_retry=tell_retry
            ) as export,
            since.explaining_refusal(client, query) if since is not None else nullcontext(),
            ending_by_signal(export) if follow else nullcontext(),
        ):
            written = output.write(export, last_ns, since)
    if since is not None and not written.events:
        tell("no new events since the last export")
    output.end(context, written, export.row_name)


def _refuse_since_last_with(others: Mapping[str, int | None]) -> None:
    for flag, value in others.items():
        if value:
            raise click.UsageError(
                f"--since-last and {flag} cannot be given together: it takes all that is new, and only that"
            )
