"""`argus-client plan`: what an export would hold, before it is made."""

import json

import click

from argus_client.cli.options import GroupedCommand, option
from argus_client.cli.query_options import columns_option, query_options
from argus_client.cli.retries import retry_for_option, tell_retry
from argus_client.cli.server_options import Server, server_options
from argus_client.cli.terminal import echo
from argus_client.cli.words import tell_bytes
from argus_client.formats.metadata import plan_metadata
from argus_client.query import EventQuery

_EPILOG = """\b
Examples:
  argus-client plan --last 24h
  argus-client plan --type PINNED --columns all --json
"""


@click.command("plan", cls=GroupedCommand, epilog=_EPILOG)
@option("--json", "as_json", is_flag=True, heading="Output", help="As JSON.")
@query_options
@columns_option
@server_options
@retry_for_option()
def plan_command(
    server: Server, retry_for_s: float, query: EventQuery, columns: tuple[str, ...], as_json: bool
) -> None:
    """Say how many events match, from when to when, and about how large files of them would be.

    The count is exact; nothing is exported.
    """
    with server.client(retry_for_s) as client:
        plan = client.plan(query, columns=columns, on_retry=tell_retry)
    if as_json:
        echo(json.dumps(plan_metadata(plan), indent=2, ensure_ascii=False))
        return
    rows = {"Events": f"{plan.total_events:,}"}
    if plan.total_events:
        rows["First"] = plan.first_timestamp.ToJsonString()
        rows["Last"] = plan.last_timestamp.ToJsonString()
    rows["As CSV"] = f"about {tell_bytes(plan.estimated_csv_bytes)}"
    rows["As JSON"] = f"about {tell_bytes(plan.estimated_json_bytes)}"
    rows["Columns"] = ", ".join(column.name for column in plan.columns)
    if plan.redacted_columns:
        rows["Hidden"] = f"{', '.join(plan.redacted_columns)} (you may not see their values)"
    if plan.removed_events:
        rows["Removed"] = f"{plan.removed_events:,} (the first that the server had, which it no longer has)"
    rows["Watermark"] = f"{plan.watermark} (pass it to --after to get what comes later)"
    for name, value in rows.items():
        echo(f"{name:<10} {value}")
