"""ROWS of groups: a batch → the bytes of an AggregateRows message."""

from collections.abc import Mapping, Sequence

import pyarrow as pa

from argus_grpc.columns import Column
from argus_grpc.v1.aggregate_pb2 import AggregateCell, AggregateRow, AggregateRows
from argus_grpc.v1.export_pb2 import ColumnType

_FIELDS: Mapping["ColumnType.ValueType", str] = {
    ColumnType.COLUMN_TYPE_STRING: "string_value",
    ColumnType.COLUMN_TYPE_INT64: "int64_value",
    ColumnType.COLUMN_TYPE_DOUBLE: "double_value",
    ColumnType.COLUMN_TYPE_TIMESTAMP_NS: "timestamp_ns",
    ColumnType.COLUMN_TYPE_EVENT_TYPE: "event_type",
}


def to_aggregate_rows(groups: pa.RecordBatch, columns: Sequence[Column]) -> bytes:
    """The groups have these columns, of their arrow_type."""
    # Message objects, which for events would be too slow; of groups there are seldom many.
    fields = [_FIELDS[column.type] for column in columns]
    rows = AggregateRows(
        rows=(
            AggregateRow(cells=map(_cell, fields, values))
            for values in zip(*(column.to_pylist() for column in groups.columns), strict=True)
        )
    )
    return rows.SerializeToString(deterministic=True)


def _cell(field: str, value: object) -> AggregateCell:
    return AggregateCell() if value is None else AggregateCell(**{field: value})  # type: ignore[arg-type]
