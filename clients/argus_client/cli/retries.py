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
    echo(f"{error}; trying again in {wait_s:.1f} s", err=True)


def retry_for_option(during: str, besides: str = "") -> Callable[[Any], Any]:
    """--retry-for, in seconds as `retry_for_s`, of a command during which the server may go away."""
    return option(
        "--retry-for",
        "retry_for_s",
        type=Parsed("duration", _parse_seconds),
        metavar="DURATION",
        default="5m",
        show_default=True,
        heading="Server",
        help=f"When the server goes away during {during}, try for so long to go on where it was cut: 90s, "
        f"15m; 0 is not at all.{besides}",
    )
