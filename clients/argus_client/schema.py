"""The Arrow types of an export's columns, by the types that its header says."""

from collections.abc import Mapping

import pyarrow as pa

from argus_grpc.v1.export_pb2 import ColumnType

ARROW_TYPES: Mapping["ColumnType.ValueType", pa.DataType] = {
    ColumnType.COLUMN_TYPE_STRING: pa.string(),
    ColumnType.COLUMN_TYPE_INT32: pa.int32(),
    ColumnType.COLUMN_TYPE_INT64: pa.int64(),
    ColumnType.COLUMN_TYPE_DOUBLE: pa.float64(),
    ColumnType.COLUMN_TYPE_TIMESTAMP_NS: pa.timestamp("ns", tz="UTC"),
    ColumnType.COLUMN_TYPE_EVENT_TYPE: pa.dictionary(pa.int8(), pa.string()),
}
