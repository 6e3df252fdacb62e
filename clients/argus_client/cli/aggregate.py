"""`argus-client aggregate`: events in groups, into a file or to standard output."""

import click

from argus_client.cli.options import GroupedCommand, comma_list, option
from argus_client.cli.output_options import EXIT_CODES, Output, output_options
from argus_client.cli.query_options import WHAT, limit_option, query_options
from argus_client.cli.retries import retry_for_option, tell_retry
from argus_client.cli.server_options import Server, server_options
from argus_client.grouping import parse_group_key, parse_measure
from argus_client.query import EventQuery, checked_by

_EPILOG = f"""\b
Examples:
  argus-client aggregate --by time:1m --by event_type --measure count --measure p99:duration_ns
  argus-client aggregate --by stack --type PINNED --last 8h -o pinned-stacks.csv
  argus-client aggregate --by gc_cause --measure count,max:duration_ns,sum:duration_ns --format json
  argus-client aggregate --type CPU_LOAD --by time:5s --measure avg:cpu_machine_total

\b
{EXIT_CODES}"""


@click.command("aggregate", cls=GroupedCommand, epilog=_EPILOG)
@output_options
@query_options
@option(
    "--by",
    "group_by",
    metavar="KEY",
    heading=WHAT,
    help="A row for each value of this: time:1m (or any other width), event_type, source, thread_name, "
    "carrier_thread, class_name, method_name, monitor_class, gc_cause or stack. Repeat it, or use commas. "
    "Without it all events are one row.",
    **comma_list(checked_by(parse_group_key)),
)
@option(
    "--measure",
    "measures",
    metavar="MEASURE",
    heading=WHAT,
    help="What is computed: count; or sum, min, max, avg, p50, p90, p95 or p99 of duration_ns or of a column "
    "of bytes or ratios, as in p99:duration_ns. Percentiles are exact. Repeat it, or use commas.  [default: "
    "count]",
    **comma_list(checked_by(parse_measure)),
)
@limit_option("groups")
@server_options
@retry_for_option("an export")
@click.pass_context
def aggregate_command(
    context: click.Context,
    /,
    server: Server,
    retry_for_s: float,
    query: EventQuery,
    group_by: tuple[str, ...],
    measures: tuple[str, ...],
    limit: int | None,
    output: Output,
) -> None:
    """Group the matching events, and write a row a group, in the order of the keys.

    FILE appears when it is whole, and never else, with FILE.manifest.json, which proves it. Data go to
    standard output or FILE, all else goes to standard error.
    """
    last_ns: int | None = context.params["last"]
    with (
        server.client(retry_for_s) as client,
        client.aggregate(
            query, group_by=group_by, measures=measures, limit=limit, on_retry=tell_retry
        ) as export,
    ):
        written = output.write(export, last_ns)
    output.end(context, written, export.row_name)
