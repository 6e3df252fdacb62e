"""Thrift's compact protocol against the footers that pyarrow writes."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from argus_client.formats.thrift import I64, List, Struct, read_struct, write_struct


def footer_of(table: pa.Table, **options: object) -> bytes:
    sink = pa.BufferOutputStream()
    parquet.write_table(table, sink, **options)
    file: bytes = sink.getvalue().to_pybytes()
    return file[-8 - int.from_bytes(file[-8:-4], "little") : -8]


@pytest.mark.parametrize("columns", [1, 14, 15, 200])
def test_a_footer_is_written_as_it_was_read(columns: int) -> None:
    table = pa.table({f"c{n}": pa.array([None, n, -n, 2**62], pa.int64()) for n in range(columns)})
    table = table.append_column("x", pa.array(["", "é", None, "x" * 300]))
    table = table.append_column("d", pa.array([0.5, None, float("nan"), -0.0]))
    options = {"write_page_index": True, "row_group_size": 2, "sorting_columns": [parquet.SortingColumn(0)]}
    footer = footer_of(table, **options)
    assert write_struct(read_struct(footer)) == footer
    assert read_struct(footer)[3] == (I64, 4)


@given(st.dictionaries(st.integers(1, 2**15 - 1), st.integers(-(2**63), 2**63 - 1)))
def test_integers_and_far_fields_come_back(values: dict[int, int]) -> None:
    struct = Struct({field: (I64, value) for field, value in values.items()})
    struct[40] = (9, List(8, [b"x"] * 20))
    assert read_struct(write_struct(struct)) == struct


def test_what_ends_early_is_said() -> None:
    footer = footer_of(pa.table({"a": [1]}))
    for size_bytes in range(len(footer)):
        with pytest.raises(ValueError, match="end within"):
            read_struct(footer[:size_bytes])
