"""Times as people write them in settings."""

import re
from datetime import timedelta

MAX_DURATION = timedelta(weeks=5_200)
_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}


def parse_duration(text: object) -> timedelta:
    """The time that a text such as 30s, 15m, 12h, 7d or 4w stands for.

    Raises ValueError with a message for people.
    """
    if isinstance(text, timedelta):
        return text
    found = re.fullmatch(r"([0-9]{1,12})([smhdw])", str(text))
    seconds = int(found[1]) * _UNITS_S[found[2]] if found else 0
    if not 1 <= seconds <= MAX_DURATION.total_seconds():
        raise ValueError(
            "a whole number and a unit, s, m, h, d or w, such as 7d; from 1s to"
            f" {MAX_DURATION.days // 7}w is allowed"
        )
    return timedelta(seconds=seconds)


def format_duration(duration: timedelta) -> str:
    """The text that parse_duration reads as this many whole seconds."""
    seconds = int(duration.total_seconds())
    unit = next(unit for unit in reversed(_UNITS_S) if seconds % _UNITS_S[unit] == 0)
    return f"{seconds // _UNITS_S[unit]}{unit}"
