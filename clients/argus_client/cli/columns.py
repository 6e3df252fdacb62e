"""`argus-client columns`: the schema."""

import json

import click

from argus_client.cli.options import GroupedCommand, option, server_option
from argus_client.client import ExportClient
from argus_grpc.v1.event_pb2 import EventType
from argus_grpc.v1.export_pb2 import Column, ColumnType

_EPILOG = """\b
Examples:
  argus-client columns
  argus-client columns --json | jq -r '.[] | select(.unit == "ns") | .name'
"""


@click.command("columns", cls=GroupedCommand, epilog=_EPILOG)
@option("--json", "as_json", is_flag=True, heading="Output", help="As JSON, with the event types of each.")
@server_option
def columns_command(server: str, as_json: bool) -> None:
    """List the columns that an export can have.

    The ones marked * are in an export that names none.
    """
    with ExportClient(server) as client:
        columns = client.columns()
    if as_json:
        click.echo(json.dumps([_to_json(column) for column in columns], indent=2, ensure_ascii=False))
        return
    rows = [("", "COLUMN", "TYPE", "UNIT", "MEANING")]
    rows += [("*" if c.is_default else "", c.name, _type_name(c), c.unit, c.description) for c in columns]
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo("  ".join(cells).rstrip())


def _type_name(column: Column) -> str:
    return ColumnType.Name(column.type).removeprefix("COLUMN_TYPE_").lower()


def _to_json(column: Column) -> dict[str, object]:
    return {
        "name": column.name,
        "jsonName": column.json_name,
        "title": column.title,
        "type": _type_name(column),
        "unit": column.unit or None,
        "description": column.description,
        "carriedBy": [EventType.Name(code).removeprefix("EVENT_TYPE_") for code in column.carried_by],
        "isDefault": column.is_default,
    }
