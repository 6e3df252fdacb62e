"""argus-server token: the tokens that people and programs call with."""

import click


@click.group()
def token() -> None:
    """Make, list and revoke the tokens that callers are known by."""
