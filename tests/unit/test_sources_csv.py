"""Our own CSV exports read back: what the renderer wrote, and what Python's csv writes in its way."""

import csv
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from argus_client.errors import SourceError
from argus_client.formats import CsvRenderer, RenderOptions
from argus_client.ingest import with_ids
from argus_client.sources import UnknownKind, open_source
from argus_client.sources import csv as csv_source
from argus_grpc.columns import COLUMNS, COLUMNS_BY_NAME, Column
from argus_grpc.v1.event_pb2 import Event, EventType
from argus_grpc.v1.export_pb2 import ExportSummary
from tests.strategies import batch_of, events, header_of

LEAST = ("timestamp", "event_type")
GUARDED = ("=", "+", "-", "@", "\t", "\r")
KEPT = [column for column in COLUMNS if column.name != "sequence"]
EVENT_LISTS = st.lists(events(required=["sequence", *LEAST, "source"]), min_size=1, max_size=5)

Write = Callable[[str | bytes], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write_file(content: str | bytes) -> Path:
        path = tmp_path / "events.csv"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write_file


def read(path: Path, source: str | None = None) -> list[Event]:
    """The events, which must be those that are sent."""
    with open_source(path, source) as opened:
        read_events = list(opened)
        assert opened.fraction == 1
        assert not opened.skipped
        batches = [batch.request.arrow for batch in opened.batches()]
    sent = [to_event(row) for stream in batches for row in pa.ipc.open_stream(stream).read_all().to_pylist()]
    assert [str(event) for event in sent] == [str(event) for event in read_events]
    return read_events


def to_event(row: dict[str, Any]) -> Event:
    values = {name: value for name, value in row.items() if value is not None}
    return Event(**values | {"timestamp": values["timestamp"].value})


def rendered(
    written: Sequence[Event], columns: Sequence[Column] = COLUMNS, options: RenderOptions | None = None
) -> bytes:
    renderer = CsvRenderer(options or RenderOptions())
    parts = [renderer.begin(header_of(columns)), renderer.render(batch_of(written, columns))]
    return b"".join(map(bytes, [*parts, renderer.end(ExportSummary())]))


def comparable(event: Event, columns: Sequence[Column] = KEPT) -> dict[str, Any]:
    """Columns that are set; a double by its spelling, which tells -0.0 and NaN."""
    values = {c.name: getattr(event, c.name) for c in columns if event.HasField(c.name)}  # type: ignore[arg-type]
    return {name: repr(value) if isinstance(value, float) else value for name, value in values.items()}


@settings(max_examples=150, deadline=None)
@given(
    written=EVENT_LISTS,
    columns=st.permutations(COLUMNS).flatmap(
        lambda order: st.integers(0, len(order)).map(lambda n: order[:n])
    ),
    options=st.builds(
        RenderOptions,
        header=st.sampled_from(("names", "titles")),
        excel=st.booleans(),
        metadata=st.booleans(),
    ),
)
def test_any_columns_in_any_form_come_back_equal(
    written: list[Event],
    columns: list[Column],
    options: RenderOptions,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    columns = [c for c in columns if c.name not in LEAST] + [COLUMNS_BY_NAME[name] for name in LEAST]
    for event in written:
        event.source = event.source or "s"
        if options.excel:
            # The one thing that does not come back: a ' of its own before what the guard is for.
            for field, value in event.ListFields():
                if isinstance(value, str) and value[:1] == "'" and value[1:2] in GUARDED:
                    setattr(event, field.name, value.lstrip("'") or "x")
    path = tmp_path_factory.mktemp("csv") / "any.csv"
    path.write_bytes(rendered(written, columns, options))
    has_source = any(column.name == "source" for column in columns)
    kept = [column for column in columns if column.name not in ("sequence", "source")]
    got = read(path)
    assert [comparable(event, kept) for event in got] == [comparable(event, kept) for event in written]
    assert [event.source for event in got] == [e.source if has_source else "any" for e in written]
    assert {event.source for event in read(path, "given")} == {"given"}


@settings(max_examples=50, deadline=None)
@given(
    rows=st.lists(
        st.lists(
            st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=6), min_size=2, max_size=2
        ),
        min_size=1,
        max_size=6,
    ),
    quoting=st.sampled_from((csv.QUOTE_ALL, csv.QUOTE_MINIMAL, csv.QUOTE_NONNUMERIC)),
    line_end=st.sampled_from(("\n", "\r\n")),
    block_bytes=st.integers(1, 40),
)
def test_what_another_writer_writes_comes_in_wherever_blocks_end(
    rows: list[list[str]],
    quoting: Any,
    line_end: str,
    block_bytes: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    if quoting == csv.QUOTE_MINIMAL:
        # Python leaves a carriage return unquoted that is not its own line end's.
        rows = [[text.replace("\r", "\n") for text in row] for row in rows]
    path = tmp_path_factory.mktemp("csv") / "other.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, quoting=quoting, lineterminator=line_end)
        writer.writerow(["thread_name", "timestamp", "event_type", "stack_trace"])
        writer.writerows([name, "2024-01-01T00:00:00Z", "end", stack] for name, stack in rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_source, "_BLOCK_BYTES", block_bytes)
        got = read(path)
    assert [[event.thread_name, event.stack_trace] for event in got] == rows


def test_the_same_content_gives_the_same_ids_and_blocks_are_bounded(write: Write) -> None:
    columns = [COLUMNS_BY_NAME[name] for name in (*LEAST, "stack_trace")]
    many = [
        Event(timestamp=n, event_type=EventType.EVENT_TYPE_GC_PAUSE, stack_trace="x\n" * 500)
        for n in range(3_000)
    ]
    path = write(rendered(many, columns))

    def ids() -> list[str]:
        with open_source(path) as opened:
            batches = list(with_ids(opened.batches()))
        assert all(batch.request.ByteSize() < 1_100_000 for batch in batches)
        return [batch.request.batch_id for batch in batches]

    first = ids()
    assert len(first) == len(set(first)) > 2
    assert ids() == first
    assert read(path) == [Event(**{f.name: v for f, v in e.ListFields()}, source="events") for e in many]


def test_a_byte_order_mark_that_begins_a_row_is_text(write: Write) -> None:
    path = write(b"thread_name,timestamp,event_type\n\xef\xbb\xbfmain,1970-01-01T00:00:00Z,START\n")
    assert [event.thread_name for event in read(path)] == ["\ufeffmain"]


def test_null_is_not_an_empty_text(write: Write) -> None:
    null, empty = read(write('timestamp,event_type,thread_name\n1,START,\n1,START,""\n'))
    assert not null.HasField("thread_name")
    assert empty.HasField("thread_name")


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("2024-01-01T00:00:00Z", 1_704_067_200_000_000_000),
        ("2024-01-01T00:00:00.123456789Z", 1_704_067_200_123_456_789),
        ("1969-12-31T23:59:59.999999999Z", -1),
        ("1677-09-21T00:12:43.145224192Z", -(2**63)),
        ("2262-04-11T23:47:16.854775807Z", 2**63 - 1),
        ("2024-01-01T02:00:00+02:00", 1_704_067_200_000_000_000),
        ("2024-01-01", 1_704_067_200_000_000_000),
        ("1704067200123456789", 1_704_067_200_123_456_789),
    ],
)
def test_times(text: str, ns: int, write: Write) -> None:
    (event,) = read(write(f"timestamp,event_type\n{text},START\n"))
    assert event.timestamp == ns


def test_doubles(write: Write) -> None:
    texts = ["0.1", "5e-324", "1.7976931348623157e308", "-0.0", "nan", "inf", "-inf", "1"]
    got = read(write("timestamp,event_type,cpu_jvm_user\n" + "".join(f"1,CPU_LOAD,{t}\n" for t in texts)))
    assert [repr(event.cpu_jvm_user) for event in got] == [repr(float(text)) for text in texts]
    assert math.isnan(got[4].cpu_jvm_user)


def test_the_formula_guard_is_taken_off_of_what_was_made_for_excel_alone(write: Write) -> None:
    rows = "".join(f'1,START,"\'{text}"\r\n' for text in ("=1", "+", "x", "", "-a"))
    plain = f"timestamp,event_type,thread_name\r\n{rows}"
    assert [event.thread_name for event in read(write(plain))] == ["'=1", "'+", "'x", "'", "'-a"]
    path = write(b"\xef\xbb\xbf" + plain.encode())
    assert [event.thread_name for event in read(path)] == ["=1", "+", "'x", "'", "-a"]
    with open_source(path) as opened:
        list(opened.batches())
        assert opened.guards_removed == 3


def test_no_rows(write: Write) -> None:
    assert read(write("timestamp,event_type\n")) == []
    assert read(write("timestamp,event_type\n\n\r\n")) == []
    assert read(write('# export_id: 1\n# "a": b\ntimestamp,event_type\n')) == []


GOOD = "2024-01-01T00:00:00Z,START,7,0.5"


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("2024-01-01T00:00:00Z,START,7", "has 3 fields where the header has 4"),
        (f"{GOOD},", "has 5 fields where the header has 4"),
        (",START,,", "has no timestamp, which every event needs"),
        ("2024-01-01,,,", "has no event_type, which every event needs"),
        ("soon,START,,", 'timestamp: "soon" is not allowed; allowed: an RFC 3339 time such as'),
        ("2300-01-01T00:00:00Z,START,,", "timestamp: .* is not allowed; .* 1677-09-21 to 2262-04-11"),
        ("9223372036854775808,START,,", "timestamp: .* is not allowed; .* 1677-09-21 to 2262-04-11"),
        ("2024-01-01,NOPE,,", 'event_type: "NOPE" is not allowed; allowed: START, END, PINNED, .*CONTENTION'),
        ("2024-01-01,START,7.5,", 'thread_id: "7.5" is not allowed; allowed: a whole number from -9223'),
        ("2024-01-01,START,0x7,", 'thread_id: "0x7" is not allowed'),
        ("2024-01-01,START, 7,", 'thread_id: " 7" is not allowed'),
        ("2024-01-01,START,9223372036854775808,", 'thread_id: "9223372036854775808" is not allowed'),
        (
            "2024-01-01,START,,half",
            'cpu_jvm_user: "half" is not allowed; allowed: a number, nan, inf or -inf',
        ),
        ('2024-01-01,START,"",', 'thread_id: "" is not allowed'),
    ],
)
def test_refusals_name_file_line_column_and_value(line: str, told: str, write: Write) -> None:
    # A row before it has a line feed, and an empty line is no row.
    before = f'\n"2024-01-01T00:00:00Z",START,7,"0.5"\n{GOOD}\n'
    path = write(f"timestamp,event_type,thread_id,cpu_jvm_user\n{before}{line}\n{GOOD}\n")
    with pytest.raises(SourceError, match=rf"events\.csv, line 5: {told}"):
        read(path)


def test_lines_are_counted_through_texts_and_blocks(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_source, "_BLOCK_BYTES", 64)
    rows = '2024-01-01,START,"a\nb\nc"\n' * 20
    path = write(f"# export_id: 1\ntimestamp,event_type,thread_name\n{rows}2024-01-01,STAR,x\n")
    with pytest.raises(SourceError, match=r"events\.csv, line 63: event_type: \"STAR\" is not allowed"):
        read(path)


def test_text_that_is_not_utf_8(write: Write) -> None:
    path = write(b"timestamp,event_type,thread_name\n1,START,ok\n1,START,\xff\n")
    with pytest.raises(SourceError, match=r'line 3: thread_name: "\\\\xff" is not allowed; allowed: UTF-8'):
        read(path)


@pytest.mark.parametrize(
    ("row", "fields"), [(b"1,START", 2), (b"1,START,\xff,\xff", 4), (b'1,START,"\xff\n",', 4), (b"\xff", 1)]
)
@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
def test_a_row_of_another_width_is_told_also_where_it_is_not_utf_8(
    row: bytes, fields: int, write: Write
) -> None:
    # Not UTF-8 either, but in a line before.
    path = write(b"timestamp,event_type,thread_name\n1,START,\xff\n" + row + b"\n1,START,ok\n")
    with pytest.raises(
        SourceError, match=rf"events\.csv, line 3: has {fields} fields where the header has 3"
    ):
        read(path)


@pytest.mark.parametrize(
    ("header", "told"),
    [
        (
            "timestamp,event_type,foo",
            'line 1: "foo" is not a column of events; columns: sequence, ',
        ),
        ("timestamp,event_type,Timestamp (UTC)", r'line 1: has the column "Timestamp \(UTC\)" twice'),
        ("timestamp,thread_id", "line 1: has no column event_type, which every event needs"),
        ("# export_id: 1\ntimestamp", "line 2: has no column event_type"),
        ("# export_id: 1", "has no header row, as a CSV export has"),
    ],
)
def test_headers_that_do_not_fit_are_told_before_anything_is_read(
    header: str, told: str, write: Write
) -> None:
    with pytest.raises(SourceError, match=rf"events\.csv,? {told}"):
        open_source(write(f"{header}\n"))


def test_a_file_that_is_cut_off(write: Write) -> None:
    with pytest.raises(SourceError, match=r"line 3: the file is cut off .* it does not end its line"):
        read(write("timestamp,event_type,duration_ns\n1,END,12\n1,END,3"))
    with pytest.raises(SourceError, match=r'line 2: the file is cut off .* a " of it is not closed'):
        read(write('timestamp,event_type,stack_trace\n1,END,"a\nb\n'))


def test_a_row_without_end(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_source, "_BLOCK_BYTES", 64)
    monkeypatch.setattr(csv_source, "MAX_ROW_BYTES", 1_000)
    path = write('timestamp,event_type,stack_trace\n1,END,"' + "a\n" * 2_000 + '"\n')
    with pytest.raises(SourceError, match=r"line 2: is longer than 1,000 bytes; is a quote missing?"):
        read(path)


def test_a_carriage_return_that_is_neither_text_nor_a_line_s_end(write: Write) -> None:
    path = write('timestamp,event_type,stack_trace\r\n1,END,"a\rb\nc"\r\n1,END,a\rb\r\n')
    with pytest.raises(SourceError, match=r"line 4: has a carriage return outside of quotes"):
        read(path)


def test_an_empty_source_is_refused(write: Write) -> None:
    path = write('timestamp,event_type,source\n1,END,\n1,END,""\n')
    with pytest.raises(SourceError, match='line 3: source: "" is not allowed; allowed: text'):
        read(path)
    assert [event.source for event in read(path, "given")] == ["given", "given"]


def test_another_csv_is_of_no_known_kind(tmp_path: Path) -> None:
    path = tmp_path / "accounts.csv"
    path.write_text("name,balance\na,1\n")
    with pytest.raises(UnknownKind, match='line 1: "name" is not a column of events'):
        open_source(path)
