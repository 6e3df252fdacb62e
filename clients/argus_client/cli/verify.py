"""`argus-client verify`: is a file whole, and if not, what is wrong with it."""

import json
from pathlib import Path

import click

from argus_client.cli.options import GroupedCommand, option
from argus_client.cli.terminal import echo
from argus_client.cli.words import tell_bytes, tell_rows
from argus_client.verification import Verification, verify_file

EXIT_WRONG = 1

_EPILOG = """\b
Examples:
  argus-client verify pinned.csv
  argus-client verify --manifest pinned.csv.manifest.json renamed.csv

\b
Exit codes:
  0 whole, 1 not
"""


@click.command("verify", cls=GroupedCommand, epilog=_EPILOG)
@click.argument("file", type=click.Path(path_type=Path), metavar="FILE")
@option(
    "--manifest",
    type=click.Path(path_type=Path),
    metavar="FILE",
    heading="Input",
    help="The manifest that the export wrote.  [default: FILE.manifest.json]",
)
@option("--json", "as_json", is_flag=True, heading="Output", help="As JSON.")
@click.pass_context
def verify_command(context: click.Context, /, file: Path, manifest: Path | None, as_json: bool) -> None:
    """Check that FILE is what its export wrote, to the last byte, and else say which part is wrong.

    No server is asked.
    """
    found = verify_file(file, manifest)
    if as_json:
        echo(json.dumps(_to_json(file, found), indent=2, ensure_ascii=False))
    elif found.manifest is not None and found.is_whole:
        manifest_of = found.manifest
        row_name = "group" if "groupBy" in manifest_of.members else "event"
        said = f"{tell_rows(manifest_of['rows'], row_name)}, {tell_bytes(manifest_of['bytes'])}"
        if manifest_of["rowsRemaining"]:
            said += f", cut by --limit: {manifest_of['rowsRemaining']:,} more matched"
        echo(f"{file} is whole: {said}, exported at {manifest_of['exportedAt']}")
    else:
        for problem in found.problems:
            echo(f"{file}: {problem}", err=True)
        echo(f"Error: {file} is not whole", err=True)
    if not found.is_whole:
        context.exit(EXIT_WRONG)


def _to_json(file: Path, found: Verification) -> dict[str, object]:
    return {
        "file": str(file),
        "whole": found.is_whole,
        "problems": list(found.problems),
        "manifest": dict(found.manifest.members) if found.manifest is not None else None,
    }
