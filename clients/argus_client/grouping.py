"""Group keys and measures as people write them, to and from the contract's messages."""

from collections.abc import Iterable

from argus_client.times import format_duration, parse_duration_ns
from argus_grpc.v1.aggregate_pb2 import GroupBy, Measure
from argus_grpc.v1.export_pb2 import Column, ColumnType

_TIME = "time"
_PREFIX = "FUNCTION_"
_FUNCTIONS = {
    value.name.removeprefix(_PREFIX).lower(): Measure.Function.Value(value.name)
    for value in Measure.Function.DESCRIPTOR.values
    if value.number
}
_COUNT = "count"

GROUP_KEYS = (
    _TIME,
    "event_type",
    "source",
    "thread_name",
    "carrier_thread",
    "class_name",
    "method_name",
    "monitor_class",
    "gc_cause",
    "stack",
)
"""What events can be grouped by; time needs a width: time:1m."""


def measures_of(columns: Iterable[Column]) -> list[str]:
    """All measures there are of these columns: of durations, bytes and ratios."""
    measured = [
        column.name
        for column in columns
        if (column.type == ColumnType.COLUMN_TYPE_DOUBLE and column.unit == "1")
        or (column.type == ColumnType.COLUMN_TYPE_INT64 and column.unit in ("ns", "By"))
    ]
    functions = [name for name in _FUNCTIONS if name != _COUNT]
    return [_COUNT, *(f"{function}:{column}" for column in measured for function in functions)]


def parse_group_key(text: str) -> GroupBy:
    """time:1m, or a column. The server knows which columns. Raises ValueError for people."""
    name, colon, width = text.strip().partition(":")
    if name == _TIME:
        if not colon:
            raise ValueError(f"{text!r} needs a width: {_TIME}:1m, {_TIME}:250ms, {_TIME}:1d")
        return GroupBy(time_bucket_ns=parse_duration_ns(width))
    return GroupBy(column=text.strip())


def format_group_key(key: GroupBy) -> str:
    """As parse_group_key reads it."""
    if key.WhichOneof("key") == "time_bucket_ns":
        return f"{_TIME}:{format_duration(key.time_bucket_ns)}"
    return key.column


def parse_measure(text: str) -> Measure:
    """count, or a function and a column: p99:duration_ns. The server knows which columns.

    Raises ValueError for people.
    """
    name, _, column = (part.strip() for part in text.partition(":"))
    if name.lower() not in _FUNCTIONS:
        others = ", ".join(other for other in _FUNCTIONS if other != _COUNT)
        raise ValueError(
            f"{text!r} is not a measure; write {_COUNT}, or one of {others} with a column: p99:duration_ns"
        )
    if name.lower() != _COUNT and not column:
        raise ValueError(f"{text!r} needs a column: {name}:duration_ns")
    return Measure(function=_FUNCTIONS[name.lower()], column=column)


def format_measure(measure: Measure) -> str:
    """As parse_measure reads it."""
    if not measure.column:
        return _COUNT
    return f"{Measure.Function.Name(measure.function).removeprefix(_PREFIX).lower()}:{measure.column}"
