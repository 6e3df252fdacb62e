"""What events are grouped by, and what is computed of each group: checked, and turned into one
expression. Pure: no engine is touched here.

Every function here needs no more memory for more events, wherever an engine can sort and group on disk:
a percentile is the value of a rank, since DuckDB's own quantile_disc keeps all values in memory that
it does not count. And each gives the same for the same events, in whatever order they are read, so that
what is grouped again goes on where it was cut.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import ibis
import ibis.expr.types as ir
import pyarrow as pa

from argus_grpc.access.granted import GrantedQuery
from argus_grpc.columns import COLUMNS, COLUMNS_BY_NAME, Column
from argus_grpc.errors import InvalidField
from argus_grpc.query import INT64_MIN, matching
from argus_grpc.v1.aggregate_pb2 import GroupBy, Measure
from argus_grpc.v1.export_pb2 import ColumnType

MAX_MEASURES = 32
TIME = "time"
STACK = "stack"
STACK_EXAMPLE = "stack_example"
FINGERPRINT_DIGITS = 16
EVENT_COUNT = "_events"
"""The column of a grouped expression, behind all others, that counts a group's events."""

_PLAIN_KEYS = (
    "event_type",
    "source",
    "thread_name",
    "carrier_thread",
    "class_name",
    "method_name",
    "monitor_class",
    "gc_cause",
)
_PERCENTS: Mapping[int, int] = {
    Measure.FUNCTION_P50: 50,
    Measure.FUNCTION_P90: 90,
    Measure.FUNCTION_P95: 95,
    Measure.FUNCTION_P99: 99,
}
_SAID = {
    Measure.FUNCTION_SUM: "Sum",
    Measure.FUNCTION_MIN: "Least",
    Measure.FUNCTION_MAX: "Greatest",
    Measure.FUNCTION_AVG: "Mean",
    Measure.FUNCTION_P50: "Median",
    Measure.FUNCTION_P90: "90th percentile",
    Measure.FUNCTION_P95: "95th percentile",
    Measure.FUNCTION_P99: "99th percentile",
}
_PREFIX = "FUNCTION_"

# Doubles below this add up exactly as integers of 2^-60: 2^34 of them fit the engine's 127 bits.
_EXACT_BELOW = 2.0**32
_EXACT_SCALE = 2.0**60

_Keys: TypeAlias = dict[str, ir.Value]


def _is_measured(column: Column) -> bool:
    is_double = column.type == ColumnType.COLUMN_TYPE_DOUBLE
    is_int64 = column.type == ColumnType.COLUMN_TYPE_INT64
    return (is_double and column.unit == "1") or (is_int64 and column.unit in ("ns", "By"))


MEASURED_COLUMNS: tuple[str, ...] = tuple(column.name for column in COLUMNS if _is_measured(column))
"""What can be summed and so on: durations, bytes and ratios."""

KEY_COLUMNS: tuple[str, ...] = (*_PLAIN_KEYS, STACK)
"""What GroupBy.column can name."""


@dataclass(frozen=True)
class Grouping:
    """Keys and measures, checked, and the columns that they give."""

    group_by: tuple[GroupBy, ...]
    measures: tuple[Measure, ...]

    @property
    def key_columns(self) -> tuple[Column, ...]:
        return tuple(column for key in self.group_by for column in _columns_of_key(key))

    @property
    def columns(self) -> tuple[Column, ...]:
        """The result's: those of the keys, then the measures, in the order asked for."""
        return (*self.key_columns, *map(_column_of_measure, self.measures))

    @property
    def reads(self) -> Iterator[tuple[str, str]]:
        """The fields of the request that take in a stored column's values, each with the column."""
        for place, key in enumerate(self.group_by):
            if key.column:
                yield f"group_by[{place}].column", "stack_trace" if key.column == STACK else key.column
        for place, measure in enumerate(self.measures):
            if measure.column:
                yield f"measures[{place}].column", measure.column

    @property
    def schema(self) -> pa.Schema:
        """The columns as the store gives them: event types as codes, times as int64 ns."""
        return pa.schema([(column.name, column.arrow_type) for column in self.columns])


def choose_grouping(group_by: Sequence[GroupBy], measures: Sequence[Measure]) -> Grouping:
    """Raises InvalidField, naming the first field that does not fit."""
    measures = measures or (Measure(),)
    if len(measures) > MAX_MEASURES:
        raise InvalidField("measures", f"{len(measures)} measures", f"at most {MAX_MEASURES} measures")
    _check_each("group_by", group_by, _key_name)
    _check_each("measures", measures, _measure_name)
    return Grouping(tuple(group_by), tuple(measures))


def grouped(granted: GrantedQuery, watermark: int, grouping: Grouping) -> ir.Table:
    """The groups of the events up to the watermark that fulfil a query: the grouping's columns and
    EVENT_COUNT, ordered by the keys, NULL last.

    A sum of integers may have a wider type than its column.
    """
    events = matching(granted)
    events = events.filter(events.sequence <= watermark)
    keys: _Keys = {}
    for key in grouping.group_by:
        keys |= _key(events, key)
    names = [*keys]
    computed = {EVENT_COUNT: events.count()}
    ranked: dict[str, dict[str, int]] = {}
    for measure in grouping.measures:
        name = _measure_name("", measure)
        if percent := _PERCENTS.get(measure.function):
            ranked.setdefault(measure.column, {})[name] = percent
        else:
            computed[name] = _computed(events, measure)
    by = {name: value.name(name) for name, value in keys.items()}
    if STACK in keys:
        # By the text itself: the least text of a fingerprint's would be kept in memory for every group.
        by[STACK] = events.stack_trace.name(STACK_EXAMPLE)
    groups = events.aggregate(by=[*by.values()], **computed)
    if STACK in keys:
        groups = groups.mutate(**{STACK: _fingerprint(groups[STACK_EXAMPLE])})
    for column, percents in ranked.items():
        groups = _beside(groups, _percentiles(events, keys, column, percents), names)
    order = [column.name for column in grouping.key_columns]
    groups = groups.select(*grouping.schema.names, EVENT_COUNT)
    return groups.order_by(order) if order else groups


def _check_each(
    field: str, items: Sequence[GroupBy] | Sequence[Measure], name_of: Callable[..., str]
) -> None:
    seen: set[str] = set()
    for place, item in enumerate(items):
        path = f"{field}[{place}]"
        name = name_of(path, item)
        if name in seen:
            raise InvalidField(path, name, "each at most once")
        seen.add(name)


def _key_name(path: str, key: GroupBy) -> str:
    kind = key.WhichOneof("key")
    if kind is None:
        raise InvalidField(path, None, "one of time_bucket_ns and column")
    if kind == "time_bucket_ns":
        if key.time_bucket_ns < 1:
            raise InvalidField(f"{path}.time_bucket_ns", key.time_bucket_ns, "1 ns or more")
        return TIME
    if key.column not in KEY_COLUMNS:
        raise InvalidField(f"{path}.column", key.column, ", ".join(KEY_COLUMNS))
    return key.column


def _measure_name(path: str, measure: Measure) -> str:
    function = measure.function or Measure.FUNCTION_COUNT
    if function == Measure.FUNCTION_COUNT:
        if measure.column:
            raise InvalidField(f"{path}.column", measure.column, "none for a count, which is of events")
        return "count"
    if function not in Measure.Function.values():
        raise InvalidField(f"{path}.function", function, ", ".join(Measure.Function.keys()))
    if measure.column not in MEASURED_COLUMNS:
        raise InvalidField(f"{path}.column", measure.column or None, ", ".join(MEASURED_COLUMNS))
    return f"{Measure.Function.Name(function).removeprefix(_PREFIX).lower()}_{measure.column}"


def _columns_of_key(key: GroupBy) -> Iterator[Column]:
    if key.WhichOneof("key") == "time_bucket_ns":
        yield _column(
            TIME,
            "Time",
            "ns",
            f"Start of the time bucket, {key.time_bucket_ns} ns wide.",
            ColumnType.COLUMN_TYPE_TIMESTAMP_NS,
        )
    elif key.column == STACK:
        text = ColumnType.COLUMN_TYPE_STRING
        yield _column(STACK, "Stack", "", "Fingerprint of the stack: 16 digits of its MD5.", text)
        yield _column(STACK_EXAMPLE, "Stack example", "", "The stack, frames one a line.", text)
    else:
        yield COLUMNS_BY_NAME[key.column]


def _column_of_measure(measure: Measure) -> Column:
    name = _measure_name("", measure)
    if name == "count":
        return _column(name, "Count", "1", "How many events.", ColumnType.COLUMN_TYPE_INT64)
    of = COLUMNS_BY_NAME[measure.column]
    short = Measure.Function.Name(measure.function).removeprefix(_PREFIX).lower()
    is_mean = measure.function == Measure.FUNCTION_AVG
    return _column(
        name,
        f"{short.capitalize()} of {of.title}",
        of.unit,
        f"{_SAID[measure.function]} of {of.name}.",
        ColumnType.COLUMN_TYPE_DOUBLE if is_mean else of.type,
    )


def _column(name: str, title: str, unit: str, description: str, type_: "ColumnType.ValueType") -> Column:
    first, *others = name.split("_")
    return Column(
        name=name,
        json_name=first + "".join(word.capitalize() for word in others),
        title=title,
        unit=unit,
        description=description,
        type=type_,
        carried_by=(),
        is_default=True,
        minimum=None,
    )


def _key(events: ir.Table, key: GroupBy) -> _Keys:
    if key.WhichOneof("key") == "time_bucket_ns":
        return {TIME: _bucket_start(events.timestamp, key.time_bucket_ns)}
    if key.column == STACK:
        return {STACK: _fingerprint(events.stack_trace)}
    return {key.column: events[key.column]}


def _fingerprint(text: ir.StringValue) -> ir.Value:
    return text.hexdigest("md5")[:FINGERPRINT_DIGITS]


def _bucket_start(timestamp: ir.IntegerValue, width_ns: int) -> ir.Value:
    # Without a division, which goes by way of doubles, and towards zero in SQL.
    rest = timestamp % width_ns
    toward_zero = timestamp - rest
    least = ibis.literal(INT64_MIN, "int64")
    return ibis.cases(
        (rest >= 0, toward_zero),
        # A bucket that begins before the first instant that there is.
        (toward_zero < INT64_MIN + width_ns, least),
        else_=toward_zero - width_ns,
    )


def _value(events: ir.Table, column: str) -> ir.NumericValue:
    value = events[column]
    if COLUMNS_BY_NAME[column].type == ColumnType.COLUMN_TYPE_DOUBLE:
        return value.isnan().ifelse(ibis.null("float64"), value)
    return value


def _computed(events: ir.Table, measure: Measure) -> ir.Value:
    if not measure.column:
        return events.count()
    value = _value(events, measure.column)
    is_double = COLUMNS_BY_NAME[measure.column].type == ColumnType.COLUMN_TYPE_DOUBLE
    total = _sum_of_doubles(value) if is_double else value.sum()
    match measure.function:
        case Measure.FUNCTION_SUM:
            return total
        case Measure.FUNCTION_MIN:
            return value.min()
        case Measure.FUNCTION_MAX:
            return value.max()
    return total / value.count() if is_double else value.mean()


def _sum_of_doubles(value: ir.NumericValue) -> ir.Value:
    """The same in whatever order they are added, as long as all are below _EXACT_BELOW."""
    is_exact = value.abs() < _EXACT_BELOW
    fixed = (is_exact.ifelse(value, ibis.null("float64")) * _EXACT_SCALE).cast("decimal(38, 0)")
    return (~is_exact).any().ifelse(value.sum(), fixed.sum().cast("float64") / _EXACT_SCALE)


def _percentiles(events: ir.Table, keys: _Keys, column: str, percents: Mapping[str, int]) -> ir.Table:
    """By nearest rank: of n values in order, the ⌈n · p⌉-th."""
    names = [*keys]
    values = events.select(**keys, value=_value(events, column))
    values = values.filter(values.value.notnull())
    values = values.mutate(
        rank=ibis.row_number().over(ibis.window(group_by=names, order_by="value")) + 1,
        values=values.count().over(ibis.window(group_by=names)),
    )
    computed = {}
    for name, percent in percents.items():
        reached = values["rank"] * 100 - values["values"] * percent
        computed[name] = values.value.min(where=(reached >= 0) & (reached < 100))
    return values.aggregate(by=names, **computed)


def _beside(groups: ir.Table, more: ir.Table, names: Sequence[str]) -> ir.Table:
    """The groups with the columns of others that have the same keys; NULL where there is none."""
    added = [more[name] for name in more.columns if name not in names]
    if not names:
        return groups.cross_join(more).select(groups, *added)
    same = [groups[name].identical_to(more[name]) for name in names]
    return groups.join(more, same, how="left").select(groups, *added)
