"""What files say about themselves, and the options that formats have."""

import csv
import io
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from argus_client.formats import FORMATS, RenderOptions, export_metadata, make_renderer
from argus_client.formats.metadata import query_metadata
from argus_grpc.columns import DEFAULT_COLUMNS
from argus_grpc.v1.event_pb2 import Event, EventType
from argus_grpc.v1.export_pb2 import ExportHeader, ExportSummary, Order
from argus_grpc.v1.query_pb2 import EventQuery, ThreadNameMatch
from tests.strategies import batch_of

SOURCE = 'orders,"=cmd()"\r\n\u2028\x85evil'
QUERY = EventQuery(
    start_time=Timestamp(seconds=1_704_067_200),
    end_time=Timestamp(seconds=1_704_067_200, nanos=5_000),
    event_types=[EventType.EVENT_TYPE_VIRTUAL_THREAD_PINNED, EventType.EVENT_TYPE_GC_PAUSE],
    sources=[SOURCE, "b"],
    thread_ids=[7, 2**63 - 1],
    carrier_threads=[1],
    thread_name=ThreadNameMatch(glob="VT-*"),
    min_duration_ns=0,
    max_duration_ns=10**9,
    after_sequence=41,
)
HEADER = ExportHeader(
    export_id="e-1",
    exported_at=Timestamp(seconds=1_704_067_201, nanos=500_000_000),
    query=QUERY,
    columns=[column.to_message() for column in DEFAULT_COLUMNS],
    order=Order.ORDER_ARRIVAL,
    watermark=99,
    total_events=2,
)
QUERY_JSON = {
    "from": "2024-01-01T00:00:00Z",
    "to": "2024-01-01T00:00:00.000005Z",
    "type": ["VIRTUAL_THREAD_PINNED", "GC_PAUSE"],
    "sources": [SOURCE, "b"],
    "threadIds": [7, 2**63 - 1],
    "carrierThreads": [1],
    "threadName": {"glob": "VT-*"},
    "minDurationNs": 0,
    "maxDurationNs": 10**9,
    "afterSequence": 41,
}
METADATA_JSON = {
    "exportedAt": "2024-01-01T00:00:01.500Z",
    "query": QUERY_JSON,
    "totalEvents": 2,
    "exportId": "e-1",
    "watermark": 99,
    "order": "arrival",
    "columns": ["timestamp", "event_type", "thread_id", "thread_name", "carrier_thread", "duration_ns"],
}
CSV_LINES = [
    "# export_id: e-1",
    "# exported_at: 2024-01-01T00:00:01.500Z",
    "# from: 2024-01-01T00:00:00Z",
    "# to: 2024-01-01T00:00:00.000005Z",
    "# type: VIRTUAL_THREAD_PINNED,GC_PAUSE",
    r'# sources: ["orders,\"=cmd()\"\r\n\u2028\u0085evil","b"]',
    "# thread_ids: 7,9223372036854775807",
    "# carrier_threads: 1",
    '# thread_name: {"glob":"VT-*"}',
    "# min_duration_ns: 0",
    "# max_duration_ns: 1000000000",
    "# after_sequence: 41",
    "# order: arrival",
    "# columns: timestamp,event_type,thread_id,thread_name,carrier_thread,duration_ns",
    "# watermark: 99",
    "# total_events: 2",
]
CSV_HEADER = "timestamp,event_type,thread_id,thread_name,carrier_thread,duration_ns"


def test_metadata_of_everything_set() -> None:
    assert export_metadata(HEADER) == METADATA_JSON


def test_metadata_of_nothing_set() -> None:
    header = ExportHeader(order=Order.ORDER_TIME)
    assert export_metadata(header) == {
        "exportedAt": "1970-01-01T00:00:00Z",
        "query": {"from": None, "to": None, "type": None},
        "totalEvents": 0,
        "exportId": "",
        "watermark": 0,
        "order": "time",
        "columns": [],
    }


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"])
def test_query_times_of_all_years(text: str) -> None:
    since_epoch = datetime.fromisoformat(text) - datetime(1970, 1, 1, tzinfo=UTC)
    start = Timestamp(
        seconds=since_epoch.days * 86_400 + since_epoch.seconds, nanos=since_epoch.microseconds * 1_000
    )
    header = ExportHeader(order=Order.ORDER_TIME, query=EventQuery(start_time=start))
    assert export_metadata(header)["query"]["from"] == text


def test_beginnings_of_sources_stand_with_the_sources() -> None:
    query = EventQuery(sources=["a"], source_prefixes=["prod-", ""])
    assert query_metadata(query)["sources"] == ["a", "prod-*", "*"]
    assert query_metadata(EventQuery(source_prefixes=["b"]))["sources"] == ["b*"]


def test_redacted_columns_are_named() -> None:
    header = ExportHeader(order=Order.ORDER_TIME, redacted_columns=["thread_name", "source"])
    assert export_metadata(header)["redactedColumns"] == ["thread_name", "source"]
    lines = make_renderer("csv", RenderOptions(metadata=True)).begin(header).decode().splitlines()
    assert "# redacted_columns: thread_name,source" in lines


def test_json_always_begins_with_it() -> None:
    for options in (RenderOptions(), RenderOptions(metadata=True)):
        renderer = make_renderer("json", options)
        document = json.loads(renderer.begin(HEADER) + renderer.end(ExportSummary()))
        assert document == {
            "exportedAt": "2024-01-01T00:00:01.500Z",
            "query": QUERY_JSON,
            "totalEvents": 2,
            "events": [],
        }


def test_json_lines_have_it_when_asked() -> None:
    line = make_renderer("jsonl", RenderOptions(metadata=True)).begin(HEADER)
    assert line.endswith(b"}\n")
    assert line.count(b"\n") == 1
    assert json.loads(line) == {"_metadata": METADATA_JSON}
    assert make_renderer("jsonl").begin(HEADER) == b""


def test_csv_has_it_when_asked() -> None:
    text = make_renderer("csv", RenderOptions(metadata=True)).begin(HEADER).decode()
    assert text == "".join(f"{line}\n" for line in [*CSV_LINES, CSV_HEADER])
    # splitlines() knows more line ends than CSV does: none of them comes from a value.
    assert text.splitlines() == [*CSV_LINES, CSV_HEADER]
    assert make_renderer("csv").begin(HEADER).decode() == f"{CSV_HEADER}\n"


def test_a_server_cannot_break_the_line() -> None:
    header = ExportHeader(order=Order.ORDER_TIME, export_id="a\nb\r\x00")
    lines = make_renderer("csv", RenderOptions(metadata=True)).begin(header).decode().split("\n")
    assert lines[0] == r"# export_id: a\u000ab\u000d\u0000"


def test_in_excel_a_line_stays_one_cell() -> None:
    data = make_renderer("csv", RenderOptions(metadata=True, excel=True)).begin(HEADER)
    assert data.startswith(b"\xef\xbb\xbf# export_id: e-1\r\n")
    rows = list(csv.reader(io.StringIO(data.decode("utf-8-sig"), newline=""), strict=True))
    assert rows == [*([line] for line in CSV_LINES), CSV_HEADER.split(",")]


@pytest.mark.duckdb
def test_duckdb_takes_the_lines_for_comments(
    tmp_path: Path, example_events: list[Event], csv_text: Callable[[list[Event]], bytes]
) -> None:
    path = tmp_path / "events.csv"
    path.write_bytes(csv_text(example_events))
    with duckdb.connect() as connection:
        rows = connection.read_csv(str(path), comment="#").project("thread_id, duration_ns").fetchall()
    assert rows == [(123, None), (123, 333_000_000)]


@pytest.fixture
def csv_text() -> Callable[[list[Event]], bytes]:
    def render(events: list[Event]) -> bytes:
        renderer = make_renderer("csv", RenderOptions(metadata=True))
        return renderer.begin(HEADER) + bytes(renderer.render(batch_of(events, DEFAULT_COLUMNS)))

    return render


def test_every_format_has_a_renderer() -> None:
    assert FORMATS == ("csv", "json", "jsonl", "parquet", "arrow")
    for format in FORMATS:
        assert make_renderer(format).begin(HEADER) is not None


def test_unknown_formats_are_refused() -> None:
    allowed = "csv, json, jsonl, parquet, arrow"
    with pytest.raises(ValueError, match=f"format: 'xlsx' is not allowed; allowed: {allowed}"):
        make_renderer("xlsx")


@pytest.mark.parametrize("format", ["json", "jsonl", "parquet", "arrow"])
def test_options_that_a_format_lacks_are_refused(format: str) -> None:
    with pytest.raises(ValueError, match=f"excel: {format} does not have it"):
        make_renderer(format, RenderOptions(excel=True))
    with pytest.raises(ValueError, match=f"header: {format} has no header row; 'titles' is allowed with csv"):
        make_renderer(format, RenderOptions(header="titles"))


def test_unknown_options_are_refused() -> None:
    with pytest.raises(
        ValueError, match="time_precision: 'min' is not allowed; allowed: auto, s, ms, us, ns"
    ):
        RenderOptions(time_precision="min")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="header: 'both' is not allowed; allowed: names, titles"):
        RenderOptions(header="both")  # type: ignore[arg-type]
