"""What an export would hold, without making it."""

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from argus_grpc.access.granted import GrantedQuery
from argus_grpc.columns import Column
from argus_grpc.encode import to_wire_types
from argus_grpc.query import matching
from argus_grpc.store import DuckDbStore, Extent
from argus_grpc.v1.export_pb2 import ColumnType, Order

_SAMPLE_ROWS = 2_000
_JSON_NUMBERS = (ColumnType.COLUMN_TYPE_INT32, ColumnType.COLUMN_TYPE_INT64, ColumnType.COLUMN_TYPE_DOUBLE)


@dataclass(frozen=True)
class Plan:
    """The exact extent at a watermark, and about how many bytes files of it would have."""

    watermark: int
    extent: Extent
    estimated_csv_bytes: int
    estimated_json_bytes: int


def plan_export(store: DuckDbStore, granted: GrantedQuery, columns: Sequence[Column]) -> Plan:
    watermark = store.watermark
    with store.select(store.compile(lambda: matching(granted)), watermark, Order.ORDER_TIME) as selection:
        extent = selection.extent()
        sample = selection.sample([column.name for column in columns], _SAMPLE_ROWS)
    csv_bytes = json_bytes = 0
    for batch in sample.to_batches():
        for column, values in zip(columns, to_wire_types(batch).columns, strict=True):
            text_bytes = pc.sum(pc.binary_length(values.cast(pa.string()))).as_py() or 0
            present = len(values) - values.null_count
            csv_bytes += text_bytes + len(values)
            json_bytes += text_bytes + present * _json_overhead_bytes(column)
        json_bytes += batch.num_rows * len("{}\n")
    scale = extent.row_count / max(sample.num_rows, 1)
    return Plan(watermark, extent, round(csv_bytes * scale), round(json_bytes * scale))


def _json_overhead_bytes(column: Column) -> int:
    quotes = 0 if column.type in _JSON_NUMBERS else len('""')
    return len(f'"{column.json_name}":,') + quotes
