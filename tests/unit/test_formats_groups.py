"""Parquet and Arrow files: what others read in them, and that nothing shows but the rows."""

import io
import itertools
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from argus_client.formats import GroupRenderer, export_metadata, groups, make_renderer
from argus_grpc.columns import COLUMNS, COLUMNS_BY_NAME, Column
from argus_grpc.v1.event_pb2 import Event, EventType
from argus_grpc.v1.export_pb2 import ExportSummary
from tests.strategies import batch_of, events, header_of

FORMATS = ("parquet", "arrow")
GROUP_ROWS = 4
EVENT_LISTS = st.lists(events(), max_size=13)

formats = pytest.mark.parametrize("format", FORMATS)


@pytest.fixture(autouse=True, scope="module")
def _small_groups() -> object:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(groups, "MAX_GROUP_ROWS", GROUP_ROWS)
        yield


def renderer_of(format: str, columns: Sequence[Column] = COLUMNS) -> tuple[GroupRenderer, bytes]:
    """One that has begun, and what the file begins with."""
    renderer = make_renderer(format)
    assert isinstance(renderer, GroupRenderer)
    return renderer, renderer.begin(header_of(columns))


def rendered(format: str, batches: Sequence[pa.RecordBatch], columns: Sequence[Column] = COLUMNS) -> bytes:
    renderer, opening = renderer_of(format, columns)
    return b"".join([opening, *map(bytes, map(renderer.render, batches)), renderer.end(ExportSummary())])


def read_by_pyarrow(format: str, file: bytes) -> pa.Table:
    if format == "parquet":
        return parquet.read_table(pa.BufferReader(file))
    return pa.ipc.open_file(file).read_all()


def group_rows(format: str, file: bytes) -> list[int]:
    if format == "parquet":
        metadata = parquet.read_metadata(pa.BufferReader(file))
        return [metadata.row_group(n).num_rows for n in range(metadata.num_row_groups)]
    reader = pa.ipc.open_file(file)
    return [reader.get_batch(n).num_rows for n in range(reader.num_record_batches)]


@formats
@settings(max_examples=40, deadline=None)
@given(written=EVENT_LISTS, cuts=st.lists(st.integers(0, 13), max_size=3))
def test_what_was_written_is_read_however_it_came(format: str, written: list[Event], cuts: list[int]) -> None:
    batch = batch_of(written)
    places = [0, *sorted(min(cut, len(written)) for cut in cuts), len(written)]
    pieces = [batch.slice(start, stop - start) for start, stop in itertools.pairwise(places)]
    file = rendered(format, pieces)
    assert file == rendered(format, [batch])
    table = read_by_pyarrow(format, file)
    expected = pa.Table.from_batches([batch])
    for column in COLUMNS:
        here = table[column.name].combine_chunks()
        assert here.type == column.arrow_type or column.name in ("timestamp", "event_type")
        if column.name == "timestamp":
            assert here.type == pa.timestamp("ns", "UTC")
            here, values = here.view(pa.int64()), expected[column.name].combine_chunks().view(pa.int64())
        else:
            values = expected[column.name].combine_chunks()
        assert repr(here.to_pylist()) == repr(values.to_pylist())
    rows = [GROUP_ROWS] * (len(written) // GROUP_ROWS) + [len(written) % GROUP_ROWS]
    assert group_rows(format, file) == [count for count in rows if count]


@formats
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_it_goes_on_after_any_group_with_the_same_bytes(format: str, data: st.DataObject) -> None:
    written = data.draw(st.lists(events(), min_size=GROUP_ROWS, max_size=13))
    batch = batch_of(written)
    renderer, opening = renderer_of(format)
    part = opening + bytes(renderer.render(batch))
    whole = part + renderer.end(ExportSummary())

    count = data.draw(st.integers(0, len(written) // GROUP_ROWS))
    renderer, start = renderer_of(format)
    start += bytes(renderer.render(batch.slice(0, count * GROUP_ROWS)))
    assert renderer.waiting_rows == 0
    assert whole.startswith(start)
    # What a crash left behind it is not looked at.
    renderer, opening = renderer_of(format)
    renderer.go_on_with(io.BytesIO(part), len(start))
    rest = renderer.render(batch.slice(count * GROUP_ROWS))
    assert start + bytes(rest) + renderer.end(ExportSummary()) == whole


@formats
@pytest.mark.parametrize("damage", [lambda part: part[:-16], lambda part: b"\0" * len(part)])
def test_what_no_renderer_handed_out_is_refused(format: str, damage: Callable[[bytes], bytes]) -> None:
    renderer, opening = renderer_of(format)
    part = opening + bytes(renderer.render(batch_of([Event(timestamp=n) for n in range(2 * GROUP_ROWS)])))
    renderer, _ = renderer_of(format)
    with pytest.raises(ValueError, match=rf"(byte|first) {len(part):,}"):
        renderer.go_on_with(io.BytesIO(damage(part)), len(part))
    renderer, _ = renderer_of(format)
    with pytest.raises(ValueError, match=f"ends at byte {len(part) - 8:,}"):
        renderer.go_on_with(io.BytesIO(part), len(part) - 8)


@formats
def test_nothing_shows_that_is_not_a_value(format: str) -> None:
    """What is stored for NULL, and how event types are numbered in a batch."""
    names = ("timestamp", "event_type", "thread_id", "thread_name", "cpu_jvm_user")
    columns = [COLUMNS_BY_NAME[name] for name in names]
    event_types = (
        EventType.EVENT_TYPE_CPU_LOAD,
        EventType.EVENT_TYPE_ALLOCATION,
        EventType.EVENT_TYPE_GC_PAUSE,
    )
    written = [Event(timestamp=n, event_type=event_types[n % 3]) for n in range(10)]
    for n in range(1, 10, 2):
        written[n].thread_id, written[n].thread_name = n, "x"
    clean = batch_of(written, columns)
    validity = clean["thread_id"].buffers()[0]
    garbage = pa.py_buffer(np.arange(10, dtype=np.int64))
    texts = pa.array([f"{'x' if n % 2 else n * 'y'}" for n in range(10)]).buffers()[1:]
    types = clean["event_type"]
    other = pa.record_batch(
        [
            clean["timestamp"],
            pa.array(types.to_pylist()[::-1]).dictionary_encode().cast(types.type)[::-1],
            pa.Array.from_buffers(pa.int64(), 10, [validity, garbage]),
            pa.Array.from_buffers(pa.string(), 10, [validity, *texts]),
            pa.Array.from_buffers(pa.float64(), 10, [pa.py_buffer(b"\0\0"), garbage]),
        ],
        names=names,
    )
    assert other.to_pylist() == clean.to_pylist()
    assert rendered(format, [other], columns) == rendered(format, [clean], columns)


@formats
def test_groups_are_bounded_by_bytes_too(format: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groups, "MAX_GROUP_ROWS", 1_000)
    monkeypatch.setattr(groups, "MAX_GROUP_BYTES", 10_000)
    columns = [COLUMNS_BY_NAME[name] for name in ("timestamp", "stack_trace")]
    # 12 bytes a row beside the text: the timestamp, and where the text is.
    sizes = [988, 9_000 - 12, 1, 9_988, 9_989, 30_000, 1, 1]
    written = [Event(timestamp=n, stack_trace="x" * size) for n, size in enumerate(sizes)]
    batch = batch_of(written, columns)
    file = rendered(format, [batch], columns)
    assert group_rows(format, file) == [2, 1, 1, 1, 1, 2]
    assert rendered(format, [batch.slice(n, 1) for n in range(8)], columns) == file


@formats
def test_its_metadata_are_those_of_json(format: str) -> None:
    schema = read_by_pyarrow(format, rendered(format, [])).schema
    assert json.loads(schema.metadata[b"argus_export"]) == export_metadata(header_of())


@formats
def test_a_file_without_rows_has_the_columns(format: str, tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(rendered(format, []))
    names = [column.name for column in COLUMNS]
    assert read_by_pyarrow(format, path.read_bytes()).num_rows == 0
    if format == "parquet":
        assert list(pd.read_parquet(path).columns) == names
        assert pl.read_parquet(path).columns == names
    else:
        assert list(pd.read_feather(path).columns) == names
        assert pl.read_ipc(path).columns == names


@formats
def test_a_file_that_was_cut_cannot_be_read(format: str) -> None:
    file = rendered(format, [batch_of([Event(timestamp=n) for n in range(9)])])
    for size_bytes in range(0, len(file), 97):
        with pytest.raises((pa.ArrowException, OSError)):
            read_by_pyarrow(format, file[:size_bytes])


@formats
def test_an_event_type_from_the_future_is_refused(format: str) -> None:
    columns = [COLUMNS_BY_NAME["event_type"]]
    codes = pa.array([0, 1], pa.int8())
    types = pa.DictionaryArray.from_arrays(codes, pa.array(["CPU_LOAD", "WARP"]))
    renderer, _ = renderer_of(format, columns)
    with pytest.raises(ValueError, match="event type WARP is not one that this client knows"):
        renderer.render(pa.record_batch([types], names=["event_type"]))


@formats
def test_columns_that_the_header_does_not_say_are_refused(format: str) -> None:
    renderer, _ = renderer_of(format)
    with pytest.raises(ValueError, match="the columns are not those that the header says"):
        renderer.render(batch_of([], COLUMNS[:3]))


@pytest.mark.duckdb
@settings(max_examples=15, deadline=None)
@given(written=st.lists(events([c for c in COLUMNS if c.name != "timestamp"]), max_size=9))
def test_every_reader_of_parquet_sees_the_same_values(
    tmp_path_factory: pytest.TempPathFactory, written: list[Event]
) -> None:
    for number, event in enumerate(written):
        event.timestamp = 1_704_067_200_123_456_000 + number
    instants_ns = [event.timestamp for event in written]
    path = tmp_path_factory.mktemp("parquet") / "a.parquet"
    batch = batch_of(written)
    path.write_bytes(rendered("parquet", [batch]))
    names = [column.name for column in COLUMNS if column.name != "timestamp"]
    rows = repr([tuple(row.values()) for row in batch.select(names).to_pylist()])

    with duckdb.connect() as connection:
        file = connection.read_parquet(str(path))
        assert repr(file.select(*names).fetchall()) == rows
        # Before version 2 it has microseconds.
        assert file.project("epoch_us(timestamp::TIMESTAMPTZ)").fetchall() == [
            (ns // 1_000,) for ns in instants_ns
        ]
    by_polars = pl.read_parquet(path)
    assert repr(by_polars.select(names).rows()) == rows
    assert by_polars["timestamp"].to_physical().to_list() == instants_ns
    by_pandas = pd.read_parquet(path, dtype_backend="pyarrow")
    assert [instant.value for instant in by_pandas["timestamp"]] == instants_ns
    table = pa.Table.from_pandas(by_pandas[names], preserve_index=False)
    assert repr([tuple(row.values()) for row in table.to_pylist()]) == rows
