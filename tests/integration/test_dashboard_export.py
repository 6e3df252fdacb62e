"""GET /export gives what `argus-client export` writes, byte for byte, and says what it is."""

import gzip
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlencode

import pyarrow as pa
import pytest
from click.testing import CliRunner

from argus_client.cli import commands
from argus_client.formats import FORMATS
from argus_grpc.v1.event_pb2 import Event, EventType
from tests.conftest import RunningServer, start_server
from tests.dashboard import curl, dashboard_process, needs_curl
from tests.synthetic import make_store

pytestmark = needs_curl

ROWS = 30_000
TEXT_FORMATS = ("csv", "json", "jsonl")
HEADERS = ["timestamp", "event_type", "thread_id", "thread_name", "carrier_thread", "duration_ns"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("server")
    make_store(folder / "events.duckdb", ROWS)
    for running in start_server(folder):
        running.ingest(
            [
                Event(
                    timestamp=1_704_067_200_000_000_001,
                    event_type=EventType.EVENT_TYPE_VIRTUAL_THREAD_PINNED,
                    source='orders, "1" & ä+%',
                    thread_id=77,
                    thread_name='=naïve "name",\n☃',
                    duration_ns=5,
                )
            ]
        )
        yield running


@pytest.fixture(scope="module")
def url(server: RunningServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with dashboard_process(tmp_path_factory.mktemp("dashboard"), server.address) as dashboard:
        yield f"{dashboard.url}/export"


def client_export(server: RunningServer, folder: Path, *flags: str) -> bytes:
    path = folder / "out"
    path.unlink(missing_ok=True)
    arguments = ["export", "--server", server.address, "--overwrite", "-o", str(path), *flags]
    done = CliRunner().invoke(commands, arguments)
    assert done.exit_code in (0, 3), done.output
    return path.read_bytes()


_VARYING = re.compile(
    rb'"exportedAt":"[^"]*"|"exportId":"[^"]*"|# export_id: \S+|# exported_at: \S+|"from":"19[^"]*"'
)


def same(body: bytes) -> bytes:
    """Without what differs from export to export."""
    return _VARYING.sub(b"", body)


@pytest.mark.parametrize(
    ("query", "flags"),
    [
        ({}, []),
        ({"format": "json"}, ["--format", "json"]),
        ({"format": "jsonl", "metadata": "true"}, ["--format", "jsonl", "--metadata"]),
        ({"metadata": "true"}, ["--metadata"]),
        ({"excel": "true", "header": "titles"}, ["--excel", "--header", "titles"]),
        *(
            ({"time_precision": unit, "format": name}, ["--time-precision", unit, "--format", name])
            for unit, name in [("s", "csv"), ("ms", "json"), ("us", "jsonl"), ("ns", "csv")]
        ),
        ({"from": "2024-01-01T00:00:01Z"}, ["--from", "2024-01-01T00:00:01Z"]),
        ({"to": "2024-01-01T01:00:01.5+01:00"}, ["--to", "2024-01-01T01:00:01.5+01:00"]),
        ({"last": "36500d", "format": "json"}, ["--last", "36500d", "--format", "json"]),
        ({"type": "PINNED"}, ["--type", "PINNED"]),
        ({"type": ["start", "gc_pause,Virtual_Thread_End"]}, ["--type", "START,END,GC_PAUSE"]),
        ({"source": ["orders@host-1:4711", "orders, \"1\" & ä+%"]},
         ["--source", "orders@host-1:4711", "--source", "orders, \"1\" & ä+%"]),
        ({"thread_name": "order-worker-[1-3]?"}, ["--thread-name", "order-worker-[1-3]?"]),
        ({"thread_name_contains": "☃"}, ["--thread-name-contains", "☃"]),
        ({"thread_name_regex": "^order.*7$"}, ["--thread-name-regex", "^order.*7$"]),
        ({"thread_name": ""}, ["--thread-name", ""]),
        ({"thread_id": ["77", "40,41"]}, ["--thread-id", "77,40,41"]),
        ({"carrier_thread": "22"}, ["--carrier-thread", "22"]),
        ({"min_duration": "1ms"}, ["--min-duration", "1ms"]),
        ({"max_duration": "250us"}, ["--max-duration", "250us"]),
        ({"after_sequence": "29990"}, ["--after", "29990"]),
        ({"columns": "all"}, ["--columns", "all"]),
        ({"columns": ["source", "sequence,event_type"]}, ["--columns", "source,sequence,event_type"]),
        ({"limit": "7", "format": "json"}, ["--limit", "7", "--format", "json"]),
        ({"limit": "7", "metadata": "true"}, ["--limit", "7", "--metadata"]),
        ({"limit": "29000"}, ["--limit", "29000"]),
        ({"limit": "99999999"}, ["--limit", "99999999"]),
        ({"order": "arrival"}, ["--order", "arrival"]),
        ({"compress": "gzip"}, ["--compress", "gzip"]),
        ({"compress": "zstd", "format": "jsonl"}, ["--compress", "zstd", "--format", "jsonl"]),
        *(({"format": name, "type": "CPU_LOAD", "max_duration": "0s"},
           ["--format", name, "--type", "CPU_LOAD", "--max-duration", "0s"]) for name in TEXT_FORMATS),
    ],
    ids=str,
)  # fmt: skip
def test_bytes_are_those_of_the_command_line(
    server: RunningServer, url: str, tmp_path: Path, query: dict[str, str | list[str]], flags: list[str]
) -> None:
    answer = curl(f"{url}?{urlencode(query, doseq=True)}")
    assert (answer.exit_code, answer.status) == (0, 200)
    assert same(answer.body) == same(client_export(server, tmp_path, *flags))


@pytest.mark.parametrize("format", TEXT_FORMATS)
def test_compressed_on_its_way_is_the_same_as_plain(url: str, format: str) -> None:
    plain = curl(f"{url}?format={format}")
    on_its_way = curl(f"{url}?format={format}", "--header", "Accept-Encoding: gzip")
    decoded = curl(f"{url}?format={format}", "--compressed")
    assert "content-encoding" not in plain.headers
    assert on_its_way.headers["content-encoding"] == "gzip"
    assert plain.headers["vary"] == on_its_way.headers["vary"] == "Accept-Encoding, Cookie, Authorization"
    assert same(gzip.decompress(on_its_way.body)) == same(decoded.body) == same(plain.body)
    assert len(on_its_way.body) < len(plain.body) / 2


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        ("gzip;q=0", None),
        ("br, gzip;q=0.1", "gzip"),
        ("identity, gzip;q=0.5", None),
        ("*", "gzip"),
        ("", None),
    ],
)
def test_gzip_only_for_those_who_take_it(url: str, accepted: str, coding: str | None) -> None:
    answer = curl(f"{url}?limit=1", "--header", f"Accept-Encoding: {accepted}")
    assert answer.status == 200
    assert answer.headers.get("content-encoding") == coding


def test_who_takes_neither_is_told_so(url: str) -> None:
    answer = curl(url, "--header", "Accept-Encoding: br, identity;q=0")
    assert answer.status == 406
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_compressed_file_is_not_compressed_again(url: str) -> None:
    answer = curl(f"{url}?compress=gzip", "--header", "Accept-Encoding: gzip")
    assert answer.headers["content-type"] == "application/gzip"
    assert "content-encoding" not in answer.headers
    assert gzip.decompress(answer.body) == curl(url).body


@pytest.mark.parametrize(
    ("query", "media_type", "name"),
    [
        ("", "text/csv; charset=utf-8", "argus-export-{today}.csv"),
        ("from=2024-01-01T23:30:00-01:00", "text/csv; charset=utf-8", "argus-export-2024-01-02.csv"),
        ("format=json&from=2024-01-01", "application/json", "argus-export-2024-01-01.json"),
        ("format=jsonl&last=3d", "application/x-ndjson", "argus-export-{today}.jsonl"),
        ("from=2024-01-01&compress=gzip", "application/gzip", "argus-export-2024-01-01.csv.gz"),
        ("from=2024-01-01&compress=zstd&format=json", "application/zstd", "argus-export-2024-01-01.json.zst"),
    ],
)
def test_type_and_name_of_the_file(url: str, query: str, media_type: str, name: str) -> None:
    days = {f"{datetime.now(UTC):%F}"}
    answer = curl(f"{url}?{query}")
    days.add(f"{datetime.now(UTC):%F}")
    assert answer.headers["content-type"] == media_type
    names = {f'attachment; filename="{name.format(today=day)}"' for day in days}
    assert answer.headers["content-disposition"] in names


def test_headers_say_what_the_export_is(server: RunningServer, url: str) -> None:
    query = urlencode({"type": "PINNED,END", "source": "ä☃\n", "from": "2024-01-01", "thread_id": "1,2"})
    headers = curl(f"{url}?{query}").headers
    [(watermark,)] = server.sql("SELECT max(sequence) FROM events")
    assert headers["x-argus-watermark"] == str(watermark)
    assert headers["x-argus-from"] == "2024-01-01T00:00:00Z"
    assert "x-argus-to" not in headers
    assert headers["x-argus-type"] == "VIRTUAL_THREAD_PINNED,VIRTUAL_THREAD_END"
    assert headers["x-argus-sources"] == r'["\u00e4\u2603\n"]'
    assert headers["x-argus-thread-ids"] == "1,2"
    assert headers["x-argus-columns"] == ",".join(HEADERS)
    assert headers["x-argus-order"] == "time"
    assert re.fullmatch("[0-9a-f]{16}", headers["x-argus-export-id"])
    assert headers["x-argus-exported-at"].startswith("20")
    assert headers["x-argus-total-events"] == "0"
    assert headers["x-argus-completeness"] == "COMPLETE"


def test_what_a_limit_cuts_is_said_beforehand(server: RunningServer, url: str) -> None:
    [(pinned,)] = server.sql("SELECT count(*) FROM events WHERE event_type = 3")
    cut = curl(f"{url}?type=PINNED&limit=10").headers
    assert (cut["x-argus-total-events"], cut["x-argus-completeness"]) == ("10", "TRUNCATED")
    assert cut["x-argus-rows-remaining"] == str(pinned - 10)
    whole = curl(f"{url}?type=PINNED&limit={pinned}").headers
    assert (whole["x-argus-total-events"], whole["x-argus-completeness"]) == (str(pinned), "COMPLETE")
    assert whole["x-argus-rows-remaining"] == "0"


@pytest.mark.parametrize("flags", [[], ["--header", "Accept-Encoding: gzip"]])
def test_head_has_the_headers_of_get_and_no_body(url: str, flags: list[str]) -> None:
    url = f"{url}?format=json&type=PINNED&limit=3"
    get, head = curl(url, *flags), curl(url, "--head", *flags)
    assert (head.exit_code, head.status) == (0, 200)
    varying = {"date", "x-argus-export-id", "x-argus-exported-at"}
    assert {k: v for k, v in head.headers.items() if k not in varying} == {
        k: v for k, v in get.headers.items() if k not in varying
    }
    assert curl(f"{url}&limit=0", "--head").status == 400


def test_http_1_0_gets_the_same(url: str) -> None:
    assert curl(url, "--http1.0").body == curl(url).body


def test_binary_formats_are_read_by_arrow(server: RunningServer, url: str) -> None:
    binary = [name for name in ("parquet", "arrow") if name in FORMATS]
    if not binary:
        pytest.skip("this client writes neither Parquet nor Arrow")
    for name in binary:
        body = pa.BufferReader(curl(f"{url}?format={name}&columns=all").body)
        if name == "parquet":
            import pyarrow.parquet

            table = pyarrow.parquet.read_table(body)
        else:
            table = pa.ipc.open_file(body).read_all()
        assert table.num_rows == server.sql("SELECT count(*) FROM events")[0][0]
