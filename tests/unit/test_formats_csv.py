"""CSV against its readers: Python's csv, pyarrow's and DuckDB's. None of them is our code."""

import csv
import io
import math
import re
import struct
from collections.abc import Sequence
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.csv as pacsv
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from argus_client.formats import CsvRenderer, RenderOptions
from argus_grpc.columns import COLUMNS, COLUMNS_BY_NAME, DEFAULT_COLUMNS, EVENT_TYPE_NAMES, Column
from argus_grpc.v1.event_pb2 import Event
from argus_grpc.v1.export_pb2 import ColumnType, ExportSummary
from tests.strategies import (
    INT64_MAX,
    INT64_MIN,
    NASTY_TEXTS,
    batch_of,
    events,
    header_of,
    instants_ns,
    texts,
)

NAME = (COLUMNS_BY_NAME["thread_id"], COLUMNS_BY_NAME["thread_name"])
# Its values have several spellings in CSV only in the reader's mind: read as text, they are exact.
READ_AS_TEXT = (ColumnType.COLUMN_TYPE_TIMESTAMP_NS, ColumnType.COLUMN_TYPE_EVENT_TYPE)
EVENT_LISTS = st.lists(events(required=["sequence"]), min_size=1, max_size=5)
INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.(\d{3}|\d{6}|\d{9}))?Z")


def csv_bytes(
    batches: Sequence[pa.RecordBatch],
    columns: Sequence[Column] = COLUMNS,
    options: RenderOptions = RenderOptions(),  # noqa: B008 - immutable
) -> bytes:
    renderer = CsvRenderer(options)
    parts = [
        renderer.begin(header_of(columns)),
        *map(renderer.render, batches),
        renderer.end(ExportSummary()),
    ]
    return b"".join(map(bytes, parts))


def named(names: Sequence[str | None]) -> pa.RecordBatch:
    return batch_of([Event(thread_id=1, thread_name=name) for name in names], NAME)


def same_double(read: float, written: float) -> bool:
    return struct.pack("<d", read) == struct.pack("<d", written) or (math.isnan(read) and math.isnan(written))


def instant_ns(text: str) -> int:
    """The nanoseconds of a timestamp as protobuf reads it."""
    assert INSTANT.fullmatch(text)
    instant = Timestamp()
    instant.FromJsonString(text)
    return instant.ToNanoseconds()


def assert_reads_back(column: Column, read: object, event: Event) -> None:
    """A typed reader's value equals the event's; None is what it must give for an unset one."""
    name: str = column.name
    if not event.HasField(name):  # type: ignore[arg-type]
        assert read is None, column.name
        return
    written = getattr(event, name)
    if column.type == ColumnType.COLUMN_TYPE_TIMESTAMP_NS:
        assert isinstance(read, str)
        assert instant_ns(read) == written
    elif column.type == ColumnType.COLUMN_TYPE_EVENT_TYPE:
        assert read == EVENT_TYPE_NAMES[written]
    elif column.type == ColumnType.COLUMN_TYPE_DOUBLE:
        assert isinstance(read, float)
        assert same_double(read, written), (name, read, written)
    else:
        assert read == written, name


def test_the_seed_format_to_the_letter(example_events: list[Event]) -> None:
    text = csv_bytes([batch_of(example_events, DEFAULT_COLUMNS)], DEFAULT_COLUMNS).decode()
    assert text == (
        "timestamp,event_type,thread_id,thread_name,carrier_thread,duration_ns\n"
        "2024-01-01T00:00:00.123Z,VIRTUAL_THREAD_START,123,VT-1,1,\n"
        "2024-01-01T00:00:00.456Z,VIRTUAL_THREAD_END,123,VT-1,1,333000000\n"
    )


@given(EVENT_LISTS)
@settings(max_examples=60, deadline=None)
def test_pythons_csv_reads_it_back(written: list[Event]) -> None:
    text = csv_bytes([batch_of(written)]).decode()
    header, *rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    assert header == [column.name for column in COLUMNS]
    assert len(rows) == len(written)
    for row, event in zip(rows, written, strict=True):
        for column, cell in zip(COLUMNS, row, strict=True):
            if column.type == ColumnType.COLUMN_TYPE_STRING:
                # Python's reader does not tell an empty field from an empty string.
                assert cell == getattr(event, column.name)
            elif not cell:
                assert_reads_back(column, None, event)
            elif column.type == ColumnType.COLUMN_TYPE_DOUBLE:
                assert_reads_back(column, float(cell), event)
            elif column.type in READ_AS_TEXT:
                assert_reads_back(column, cell, event)
            else:
                assert_reads_back(column, int(cell), event)


@given(EVENT_LISTS)
@settings(max_examples=40, deadline=None)
def test_pyarrows_reader_reads_it_back(written: list[Event]) -> None:
    data = csv_bytes([batch_of(written)])
    types = {c.name: pa.string() if c.type in READ_AS_TEXT else c.arrow_type for c in COLUMNS}
    table = pacsv.read_csv(
        pa.py_buffer(data),
        parse_options=pacsv.ParseOptions(newlines_in_values=True),
        convert_options=pacsv.ConvertOptions(
            column_types=types,
            null_values=[""],  # its default takes nan, and texts such as NULL, for null
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )
    assert table.column_names == [column.name for column in COLUMNS]
    assert table.num_rows == len(written)
    for row, event in zip(table.to_pylist(), written, strict=True):
        for column in COLUMNS:
            assert_reads_back(column, row[column.name], event)


@pytest.mark.duckdb
@given(EVENT_LISTS)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_duckdbs_reader_reads_it_back(tmp_path: Path, written: list[Event]) -> None:
    path = tmp_path / "events.csv"
    path.write_bytes(csv_bytes([batch_of(written)]))
    sql_types = {pa.string(): "VARCHAR", pa.int32(): "INTEGER", pa.int64(): "BIGINT", pa.float64(): "DOUBLE"}
    types = {c.name: "VARCHAR" if c.type in READ_AS_TEXT else sql_types[c.arrow_type] for c in COLUMNS}
    with duckdb.connect() as connection:
        # allow_quoted_nulls tells an empty string from NULL.
        rows = connection.read_csv(
            str(path), header=True, columns=types, na_values="", allow_quoted_nulls=False, auto_detect=False
        ).fetchall()
    assert len(rows) == len(written)
    for row, event in zip(rows, written, strict=True):
        for column, read in zip(COLUMNS, row, strict=True):
            assert_reads_back(column, read, event)


@pytest.mark.duckdb
def test_duckdb_finds_the_types_by_itself(example_events: list[Event], tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    path.write_bytes(csv_bytes([batch_of(example_events, DEFAULT_COLUMNS)], DEFAULT_COLUMNS))
    with duckdb.connect() as connection:
        types = [str(type_) for type_ in connection.read_csv(str(path)).types]
    assert types == ["TIMESTAMP WITH TIME ZONE", "VARCHAR", "BIGINT", "VARCHAR", "BIGINT", "BIGINT"]


@pytest.mark.parametrize(
    ("name", "field"),
    [
        (None, ""),
        ("", '""'),
        ("plain text", "plain text"),
        (" spaced ", " spaced "),
        ("a,b", '"a,b"'),
        ('a"b', '"a""b"'),
        ("a\nb", '"a\nb"'),
        ("a\rb", '"a\rb"'),
        ("a\0b", "a\0b"),
        ("=cmd()", "=cmd()"),
        ("'", "'"),
        ("é😀", "é😀"),
    ],
)
def test_quotes_only_where_rfc_4180_needs_them(name: str | None, field: str) -> None:
    alone = csv_bytes([named([name])], NAME).decode()
    assert alone == f"thread_id,thread_name\n1,{field}\n"
    among_others = csv_bytes([named(["plain", name, 'q"u,o\nt\red', "", None])], NAME).decode()
    assert among_others.startswith(f"thread_id,thread_name\n1,plain\n1,{field}\n1,")


@given(st.lists(events(NAME), min_size=1, max_size=12), st.data())
@settings(max_examples=60, deadline=None)
def test_slices_and_splits_do_not_show(written: list[Event], data: st.DataObject) -> None:
    batch = batch_of(written, NAME)
    cut = data.draw(st.integers(0, len(written)))
    # A slice shares the whole batch's buffers, at an offset.
    assert csv_bytes([batch.slice(0, cut), batch.slice(cut)], NAME) == csv_bytes([batch], NAME)
    assert csv_bytes([batch.slice(cut)], NAME) == csv_bytes([batch_of(written[cut:], NAME)], NAME)


def test_plain_strings_serve_as_event_types(example_events: list[Event]) -> None:
    batch = batch_of(example_events, DEFAULT_COLUMNS)
    plain = batch.set_column(1, "event_type", batch.column(1).cast(pa.string()))
    assert csv_bytes([plain], DEFAULT_COLUMNS) == csv_bytes([batch], DEFAULT_COLUMNS)


def test_titles_head_the_columns() -> None:
    text = csv_bytes([], DEFAULT_COLUMNS, RenderOptions(header="titles")).decode()
    [titles] = csv.reader(io.StringIO(text, newline=""))
    assert titles == [column.title for column in DEFAULT_COLUMNS]


@given(st.integers(0, 63), st.data())
@settings(max_examples=60, deadline=None)
def test_integers_of_any_length(bits: int, data: st.DataObject) -> None:
    number = st.one_of(
        st.integers(0, 2**bits - 1), st.sampled_from([10**n - d for n in range(19) for d in (0, 1)])
    )
    numbers = data.draw(st.lists(st.one_of(number, st.none()), min_size=1, max_size=9))
    columns = (COLUMNS_BY_NAME["thread_id"], COLUMNS_BY_NAME["duration_ns"])
    batch = batch_of([Event(thread_id=n, duration_ns=n) for n in numbers], columns)
    cells = ["" if n is None else str(n) for n in numbers]
    assert csv_bytes([batch], columns).decode().splitlines()[1:] == [f"{cell},{cell}" for cell in cells]


@given(start=instants_ns(), data=st.data())
@settings(max_examples=30, deadline=None)
def test_many_timestamps_of_few_seconds(start: int, data: st.DataObject) -> None:
    columns = (COLUMNS_BY_NAME["timestamp"], COLUMNS_BY_NAME["thread_id"])
    start = min(start, INT64_MAX - 3 * 10**9)
    offsets = st.one_of(st.none(), st.integers(0, 3 * 10**9), st.integers(0, 3000).map(lambda ms: ms * 10**6))
    ns = [offset if offset is None else start + offset for offset in data.draw(st.lists(offsets, min_size=8))]
    batch = batch_of([Event(timestamp=t, thread_id=1) for t in ns], columns)
    _, *lines = csv_bytes([batch], columns).decode().splitlines()
    cells = [line.removesuffix(",1") for line in lines]
    assert [instant_ns(cell) if cell else None for cell in cells] == ns


@pytest.mark.parametrize("spread_ns", [1, 10**5, 10**10, 86_400 * 10**9])
@given(start=instants_ns(), data=st.data())
@settings(max_examples=30, deadline=None)
def test_timestamps_close_together(spread_ns: int, start: int, data: st.DataObject) -> None:
    columns = (COLUMNS_BY_NAME["timestamp"],)
    close = st.integers(max(start - spread_ns, INT64_MIN), min(start + spread_ns, INT64_MAX))
    ns = data.draw(
        st.lists(st.one_of(close, close.map(lambda t: int(t / 10**6) * 10**6)), min_size=1, max_size=6)
    )
    _, *lines = csv_bytes([batch_of([Event(timestamp=t) for t in ns], columns)], columns).split()
    assert [instant_ns(line.decode()) for line in lines] == ns
    for line in lines:
        # No digits that the value does not need.
        assert not re.search(rb"\.(\d{3})*000Z", line)


@pytest.mark.parametrize(("precision", "digits"), [("s", 0), ("ms", 3), ("us", 6), ("ns", 9)])
@given(ns=st.lists(instants_ns(), min_size=1, max_size=5))
@settings(max_examples=30, deadline=None)
def test_fixed_precision_cuts_toward_the_past(precision: str, digits: int, ns: list[int]) -> None:
    columns = (COLUMNS_BY_NAME["timestamp"],)
    options = RenderOptions(time_precision=precision)  # type: ignore[arg-type]
    _, *lines = csv_bytes([batch_of([Event(timestamp=t) for t in ns], columns)], columns, options).split()
    for line, written in zip(lines, ns, strict=True):
        text = line.decode()
        assert len(text.removesuffix("Z").partition(".")[2]) == digits
        unit_ns = 10 ** (9 - digits)
        assert instant_ns(text) == written // unit_ns * unit_ns


class TestExcel:
    EXCEL = RenderOptions(excel=True)

    def test_has_a_byte_order_mark_and_crlf(self, example_events: list[Event]) -> None:
        data = csv_bytes([batch_of(example_events, DEFAULT_COLUMNS)], DEFAULT_COLUMNS, self.EXCEL)
        plain = csv_bytes([batch_of(example_events, DEFAULT_COLUMNS)], DEFAULT_COLUMNS)
        assert data == b"\xef\xbb\xbf" + plain.replace(b"\n", b"\r\n")

    def test_guards_text_and_counts_it(self) -> None:
        names = ["=1", "+1", "-1", "@a", "\ta", "\ra", "", None, "'=1", "a=1", "=a,b", " =1"]
        renderer = CsvRenderer(self.EXCEL)
        renderer.begin(header_of(NAME))
        data = bytes(renderer.render(named(names))) + bytes(renderer.render(named(["=2", "x"])))
        assert data.decode() == (
            "1,'=1\r\n1,'+1\r\n1,'-1\r\n1,'@a\r\n1,'\ta\r\n1,\"'\ra\"\r\n"
            '1,""\r\n1,\r\n1,\'=1\r\n1,a=1\r\n1,"\'=a,b"\r\n1, =1\r\n1,\'=2\r\n1,x\r\n'
        )
        assert renderer.guarded_cells == 8

    def test_leaves_numbers_alone(self) -> None:
        columns = (COLUMNS_BY_NAME["thread_id"], COLUMNS_BY_NAME["cpu_jvm_user"])
        renderer = CsvRenderer(self.EXCEL)
        renderer.begin(header_of(columns))
        batch = batch_of([Event(thread_id=-5, cpu_jvm_user=-0.5)], columns)
        assert renderer.render(batch) == b"-5,-0.5\r\n"
        assert renderer.guarded_cells == 0

    @given(st.lists(st.one_of(st.none(), texts()), min_size=1, max_size=6))
    @settings(max_examples=60, deadline=None)
    def test_reads_back_but_for_the_guard(self, names: list[str | None]) -> None:
        text = csv_bytes([named(names)], NAME, self.EXCEL).decode("utf-8-sig")
        _, *rows = csv.reader(io.StringIO(text, newline=""), strict=True)
        guarded = [f"'{n}" if n and n[0] in "=+-@\t\r" else n or "" for n in names]
        assert [cell for _, cell in rows] == guarded

    def test_without_it_nothing_is_guarded(self) -> None:
        renderer = CsvRenderer(RenderOptions())
        renderer.begin(header_of(NAME))
        assert renderer.render(named(["=1"])) == b"1,=1\n"
        assert renderer.guarded_cells == 0


def test_refuses_text_that_is_not_utf_8() -> None:
    broken = pa.StringArray.from_buffers(1, pa.array(["ab"]).buffers()[1], pa.py_buffer(b"\xffb"))
    renderer = CsvRenderer(RenderOptions())
    renderer.begin(header_of(NAME))
    batch = pa.record_batch([pa.array([1]), broken], names=["thread_id", "thread_name"])
    with pytest.raises(ValueError, match="thread_name: the text is not UTF-8"):
        renderer.render(batch)


def test_refuses_batches_that_do_not_fit() -> None:
    renderer = CsvRenderer(RenderOptions())
    renderer.begin(header_of(NAME))
    with pytest.raises(ValueError, match="zip"):
        renderer.render(pa.record_batch([pa.array([1])], names=["thread_id"]))
    odd = pa.record_batch([pa.array([1]), pa.array([[1]])], names=["thread_id", "thread_name"])
    with pytest.raises(ValueError, match=r"thread_name: values of type list.* cannot be written; allowed: "):
        renderer.render(odd)


def test_every_nasty_text_in_one_batch() -> None:
    text = csv_bytes([named(NASTY_TEXTS)], NAME).decode()
    _, *rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    assert [cell for _, cell in rows] == list(NASTY_TEXTS)
