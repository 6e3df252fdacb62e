"""A window's rows come out in the order of Python's own sort, whatever order they were read in."""

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from argus_grpc.ordering import OrderedWindow
from argus_grpc.v1.export_pb2 import Order
from argus_grpc.windows import position

# Close together, with ties; and so far apart that timestamp and place do not fit one integer.
TIMESTAMPS = st.one_of(
    st.integers(0, 5), st.integers(10**18, 10**18 + 50_000_000), st.integers(-(2**63), 2**63 - 1)
)


@st.composite
def read_rows(draw: st.DrawFn) -> list[tuple[int, int]]:
    timestamps = draw(st.lists(TIMESTAMPS, min_size=1, max_size=60))
    return draw(st.permutations(list(zip(timestamps, range(7, 7 + len(timestamps)), strict=True))))


@given(
    rows=read_rows(), order=st.sampled_from([Order.ORDER_TIME, Order.ORDER_ARRIVAL]), step=st.integers(1, 9)
)
def test_rows_come_in_order_with_their_values(
    rows: list[tuple[int, int]], order: "Order.ValueType", step: int
) -> None:
    in_time_order = order == Order.ORDER_TIME
    expected = sorted(rows) if in_time_order else sorted(rows, key=lambda row: row[1])
    timestamps, sequences = zip(*rows, strict=True)
    events = pa.record_batch(
        {
            "thread_name": [None if sequence % 3 == 0 else f"{sequence}" for sequence in sequences],
            "timestamp": pa.array(timestamps, pa.int64()),
            "sequence": pa.array(sequences, pa.int64()),
        }
    )

    window = OrderedWindow(events, ["sequence", "thread_name"], order)

    slices = [window.slice(first, step) for first in range(0, len(rows), step)]
    assert pa.Table.from_batches(slices).to_pylist() == [
        {"sequence": sequence, "thread_name": None if sequence % 3 == 0 else f"{sequence}"}
        for _, sequence in expected
    ]
    assert [window.position(place) for place in range(len(rows))] == [
        position(*row) if in_time_order else row[1] for row in expected
    ]
