"""Hypothesis strategies for events, and for the Arrow batches that carry them to a client."""

from collections.abc import Iterable, Sequence

import pyarrow as pa
from hypothesis import strategies as st

from argus_grpc.columns import COLUMNS, EVENT_TYPE_NAMES, Column
from argus_grpc.v1.event_pb2 import Event
from argus_grpc.v1.export_pb2 import ColumnType, ExportHeader, Order

INT32_MIN, INT32_MAX = -(2**31), 2**31 - 1
INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1

NASTY_TEXTS = (
    "",
    " ",
    "a,b",
    '"',
    'say "hi"',
    '""',
    "line\nline",
    "line\r\nline",
    "\r",
    "\n",
    "\t",
    "\0",
    "a\0b",
    "\x01\x1f\x7f\x80\x85\u2028\u2029",
    "\\",
    '\\"',
    "\\u0041",
    "'",
    "=cmd()",
    "+1",
    "-1",
    "@SUM(A1)",
    "\ufeff",
    "NULL",
    "null",
    "nan",
    "123",
    "# comment",
    "é",
    "線程-1",
    "😀",
    "\U0010ffff",
    "\uffff",
    "x" * 300,
)

_EDGE_INSTANTS_NS = (
    INT64_MIN,
    INT64_MIN + 1,
    -1_000_000_000,
    -1_000_000,
    -1,
    0,
    1,
    1_000,
    1_704_067_200_000_000_000,
    1_704_067_200_123_000_000,
    1_704_067_200_123_456_000,
    1_704_067_200_123_456_789,
    INT64_MAX,
)


def texts() -> st.SearchStrategy[str]:
    """Any text that is valid UTF-8, the nasty kinds often."""
    nasty_parts = st.lists(st.sampled_from(NASTY_TEXTS), max_size=3).map("".join)
    return st.one_of(
        st.sampled_from(NASTY_TEXTS), nasty_parts, st.text(st.characters(codec="utf-8"), max_size=12)
    )


def instants_ns() -> st.SearchStrategy[int]:
    """Nanoseconds since the epoch: the whole int64 range, and values of every precision."""
    seconds = st.integers(INT64_MIN // 10**9 + 1, INT64_MAX // 10**9 - 1)
    rounded = st.builds(
        lambda s, digits, fraction: s * 10**9 + fraction % 10**digits * 10 ** (9 - digits),
        seconds,
        st.sampled_from((0, 3, 6, 9)),
        st.integers(0, 10**9 - 1),
    )
    return st.one_of(st.sampled_from(_EDGE_INSTANTS_NS), rounded, st.integers(INT64_MIN, INT64_MAX))


def _values(column: Column) -> st.SearchStrategy[object]:
    int64 = st.one_of(st.sampled_from((INT64_MIN, -1, 0, 1, INT64_MAX)), st.integers(INT64_MIN, INT64_MAX))
    int32 = st.one_of(st.sampled_from((INT32_MIN, 0, INT32_MAX)), st.integers(INT32_MIN, INT32_MAX))
    by_type: dict[int, st.SearchStrategy[object]] = {
        ColumnType.COLUMN_TYPE_STRING: texts(),
        ColumnType.COLUMN_TYPE_INT32: int32,
        ColumnType.COLUMN_TYPE_INT64: int64,
        ColumnType.COLUMN_TYPE_DOUBLE: st.one_of(st.sampled_from((0.0, -0.0, 1.0)), st.floats()),
        ColumnType.COLUMN_TYPE_TIMESTAMP_NS: instants_ns(),
        ColumnType.COLUMN_TYPE_EVENT_TYPE: st.sampled_from(sorted(EVENT_TYPE_NAMES)),
    }
    return by_type[column.type]


def events(columns: Iterable[Column] = COLUMNS, required: Iterable[str] = ()) -> st.SearchStrategy[Event]:
    """Events with any of the columns set, and the `required` ones always.

    What the store holds has at least sequence, timestamp, event_type and source; values are any
    that the field's type can hold, whatever ingest may refuse.
    """
    values = {column.name: _values(column) for column in columns}
    always = {name: values.pop(name) for name in required}
    return st.fixed_dictionaries(always, optional=values).map(lambda fields: Event(**fields))  # type: ignore[arg-type]


def batch_of(events_: Sequence[Event], columns: Sequence[Column] = COLUMNS) -> pa.RecordBatch:
    """The events as the wire's ARROW encoding has them."""
    arrays = []
    for column in columns:
        values = [getattr(e, column.name) if e.HasField(column.name) else None for e in events_]  # type: ignore[arg-type]
        if column.type == ColumnType.COLUMN_TYPE_EVENT_TYPE:
            codes = list(EVENT_TYPE_NAMES)
            places = pa.array([v if v is None else codes.index(v) for v in values], pa.int8())
            arrays.append(pa.DictionaryArray.from_arrays(places, pa.array(EVENT_TYPE_NAMES.values())))
        elif column.type == ColumnType.COLUMN_TYPE_TIMESTAMP_NS:
            arrays.append(pa.array(values, pa.int64()).cast(pa.timestamp("ns", "UTC")))
        else:
            arrays.append(pa.array(values, column.arrow_type))
    return pa.record_batch(arrays, names=[column.name for column in columns])


def header_of(columns: Sequence[Column] = COLUMNS, total_events: int = 0) -> ExportHeader:
    """A header for batches with these columns."""
    return ExportHeader(
        export_id="export-1",
        order=Order.ORDER_TIME,
        columns=[column.to_message() for column in columns],
        total_events=total_events,
    )
