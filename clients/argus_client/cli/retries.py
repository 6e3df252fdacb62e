"""What the commands that try again have in common: for how long, and what is said."""

import click

from argus_client.errors import ArgusClientError
from argus_client.times import parse_duration_ns


def parse_seconds(text: str) -> float:
    """The seconds of a duration; 0 needs no unit. Raises ValueError with a message for people."""
    return 0.0 if text.strip() == "0" else parse_duration_ns(text) / 1e9


def tell_retry(_attempt: int, wait_s: float, error: ArgusClientError) -> None:
    """Says why it is tried again, and when."""
    # A progress bar that is there takes this in, since it stands in for stderr meanwhile.
    click.echo(f"{error}; trying again in {wait_s:.1f} s", err=True)
