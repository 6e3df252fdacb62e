"""What the commands that try again have in common: for how long, and what is said."""

from collections.abc import Callable
from typing import Any

from argus_client.cli.options import Parsed, option
from argus_client.cli.terminal import echo
from argus_client.errors import ArgusClientError
from argus_client.times import parse_duration_ns


def _parse_seconds(text: str) -> float:
    """The seconds of a duration; 0 needs no unit. Raises ValueError with a message for people."""
    return 0.0 if text.strip() == "0" else parse_duration_ns(text) / 1e9


def tell_retry(_attempt: int, wait_s: float, error: ArgusClientError) -> None:
    """Says why it is tried again, and when."""
    # A progress bar that is there takes this in, since it stands in for stderr meanwhile.
    echo(f"{error}; trying again {f'in {wait_s:.1f} s' if wait_s else 'at once'}", err=True)


def retry_for_option(during: str | None = None, besides: str = "") -> Callable[[Any], Any]:
    """--retry-for, in seconds as `retry_for_s`, of a command that waits for a server that asks for it, and
    during which, if that is said, the server may go away."""
    when, what = "the server asks to come back later", "try for so long"
    if during is not None:
        when = f"the server goes away during {during}, or asks to come back later"
        what = "try for so long to go on where it was cut"
    return option(
        "--retry-for",
        "retry_for_s",
        type=Parsed("duration", _parse_seconds),
        metavar="DURATION",
        default="5m",
        show_default=True,
        heading="Server",
        help=f"When {when}, {what}: 90s, 15m; 0 is not at all.{besides}",
    )
