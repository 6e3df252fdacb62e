"""However narrow the columns, no batch that is cut by its bytes passes gRPC's limit in either encoding."""

import pyarrow as pa
import pytest

from argus_grpc.bounds import slice_by_bytes
from argus_grpc.columns import COLUMNS
from argus_grpc.encode import encode_batch
from argus_grpc.ordering import OrderedWindow
from argus_grpc.v1.export_pb2 import Encoding, Order

GRPC_LIMIT_BYTES = 4 * 1024 * 1024
ROWS = 600_000
GREATEST = {pa.int32(): 2**31 - 1, pa.int64(): 2**63 - 1, pa.float64(): 1.0, pa.string(): ""}


@pytest.mark.parametrize("encoding", [Encoding.ENCODING_ROWS, Encoding.ENCODING_ARROW])
@pytest.mark.parametrize(
    "columns", [["line_number"], ["duration_ns"], ["source"], ["line_number", "duration_ns"]]
)
def test_narrow_batches_fit_a_message(columns: list[str], encoding: "Encoding.ValueType") -> None:
    types = {column.name: column.arrow_type for column in COLUMNS}
    events = pa.record_batch(
        {
            **{name: pa.repeat(pa.scalar(GREATEST[types[name]], types[name]), ROWS) for name in columns},
            "timestamp": pa.repeat(pa.scalar(0, pa.int64()), ROWS),
            "sequence": pa.array(range(ROWS), pa.int64()),
        }
    )
    window = OrderedWindow(events, columns, Order.ORDER_TIME)

    parts = list(slice_by_bytes(window, ROWS, max_bytes=2 * 1024 * 1024))

    assert sum(part.num_rows for part in parts) == ROWS
    sizes = [len(encode_batch(part, encoding, 0, "t" * 500).message) for part in parts]
    assert max(sizes) <= GRPC_LIMIT_BYTES
    assert max(sizes) > GRPC_LIMIT_BYTES / 16
