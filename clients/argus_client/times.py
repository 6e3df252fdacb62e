"""Instants and durations as people write them, to and from int64 nanoseconds."""

import re
from datetime import UTC, datetime

INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1

_NS_PER_S = 1_000_000_000
# A fraction is one of seconds, so it needs them before it.
_INSTANT = re.compile(
    r"(?P<date>\d{4}-\d\d-\d\d)"
    r"(?:[Tt ](?P<time>\d\d:\d\d(?::\d\d)?)(?:(?<=:\d\d:\d\d)\.(?P<fraction>\d{1,9}))?"
    r"(?P<zone>[Zz]|[+-]\d\d:\d\d)?)?",
    re.ASCII,
)
_UNITS_NS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "ms": 1_000_000,
    "s": _NS_PER_S,
    "m": 60 * _NS_PER_S,
    "h": 3_600 * _NS_PER_S,
    "d": 86_400 * _NS_PER_S,
}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ns|us|µs|ms|s|m|h|d))+", re.ASCII)
_DURATION_PART = re.compile(r"(\d+)(?:\.(\d+))?(ns|us|µs|ms|s|m|h|d)")


def parse_instant_ns(text: str) -> int:
    """Nanoseconds since the Unix epoch of an RFC 3339 instant or a date, to nine digits.

    A date alone is its midnight; no zone means UTC. Raises ValueError with a message for people.
    """
    match = _INSTANT.fullmatch(text.strip())
    if not match:
        raise ValueError(
            f"{text!r} is not a time; write 2024-01-31, or 2024-01-31T08:30:00.5Z (no zone: UTC)"
        )
    zone = (match["zone"] or "Z").upper()
    clock = match["time"] or "00:00"
    try:
        moment = datetime.fromisoformat(f"{match['date']}T{clock}{'+00:00' if zone == 'Z' else zone}")
    except ValueError as error:
        raise ValueError(f"{text!r} is not a time: {error}") from None
    since_epoch = moment - datetime(1970, 1, 1, tzinfo=UTC)
    seconds = since_epoch.days * 86_400 + since_epoch.seconds
    return seconds * _NS_PER_S + int((match["fraction"] or "").ljust(9, "0"))


def parse_duration_ns(text: str) -> int:
    """Nanoseconds of a duration such as 10ms, 1.5s, 15m or 1h30m.

    Raises ValueError with a message for people.
    """
    compact = text.strip().replace(" ", "")
    if not _DURATION.fullmatch(compact):
        raise ValueError(f"{text!r} is not a duration; write 250us, 10ms, 1.5s, 15m, 1h30m or 7d")
    total_ns = 0
    for whole, fraction, unit in _DURATION_PART.findall(compact):
        unit_ns = _UNITS_NS[unit]
        total_ns += int(whole) * unit_ns
        if fraction:
            part_ns, rest = divmod(int(fraction) * unit_ns, 10 ** len(fraction))
            if rest:
                raise ValueError(f"{text!r} is finer than a nanosecond")
            total_ns += part_ns
    return total_ns


def format_duration(ns: int) -> str:
    """A duration in the largest unit that it is a whole number of: 90m, 250us."""
    unit = max((unit for unit in _UNITS_NS if not ns % _UNITS_NS[unit]), key=_UNITS_NS.__getitem__)
    return f"{ns // _UNITS_NS[unit]}{unit}"


def format_instant(ns: int) -> str:
    """RFC 3339 in UTC with 0, 3, 6 or 9 fractional digits, as protobuf's JSON mapping has it."""
    seconds, fraction = divmod(ns, _NS_PER_S)
    # Arithmetic on datetime, since fromtimestamp() refuses negative times on some systems.
    moment = datetime.fromordinal(719_163 + seconds // 86_400)
    clock = seconds % 86_400
    text = f"{moment.date().isoformat()}T{clock // 3600:02}:{clock // 60 % 60:02}:{clock % 60:02}"
    if fraction:
        digits = f"{fraction:09}"
        while digits.endswith("000"):
            digits = digits[:-3]
        text += f".{digits}"
    return f"{text}Z"
