"""`argus-client columns`: the schema."""

import json

import click

from argus_client.cli.options import GroupedCommand, option
from argus_client.cli.retries import retry_for_option, tell_retry
from argus_client.cli.server_options import Server, server_options
from argus_client.cli.terminal import echo
from argus_client.formats.metadata import column_metadata, column_type_name

_EPILOG = """\b
Examples:
  argus-client columns
  argus-client columns --json | jq -r '.[] | select(.unit == "ns") | .name'
"""


@click.command("columns", cls=GroupedCommand, epilog=_EPILOG)
@option("--json", "as_json", is_flag=True, heading="Output", help="As JSON, with the event types of each.")
@server_options
@retry_for_option()
def columns_command(server: Server, retry_for_s: float, as_json: bool) -> None:
    """List the columns that an export can have.

    The ones marked * are in an export that names none.
    """
    with server.client(retry_for_s) as client:
        columns = client.columns(on_retry=tell_retry)
    if as_json:
        echo(json.dumps([column_metadata(column) for column in columns], indent=2, ensure_ascii=False))
        return
    rows = [("", "COLUMN", "TYPE", "UNIT", "MEANING")]
    rows += [
        ("*" if c.is_default else "", c.name, column_type_name(c), c.unit, c.description) for c in columns
    ]
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        echo("  ".join(cells).rstrip())
