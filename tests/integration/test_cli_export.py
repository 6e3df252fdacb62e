"""The command line and the library against a real server."""

import csv
import gzip
import io
import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from argus_client import EventQuery, ExportClient
from argus_client.cli import commands
from argus_grpc.columns import COLUMNS
from argus_grpc.v1.event_pb2 import Event
from tests.conftest import RunningServer

SEED = """\
timestamp,event_type,thread_id,thread_name,carrier_thread,duration_ns
2024-01-01T00:00:00.123Z,VIRTUAL_THREAD_START,123,VT-1,1,
2024-01-01T00:00:00.456Z,VIRTUAL_THREAD_END,123,VT-1,1,333000000
"""


@pytest.fixture
def seeded(server: RunningServer, example_events: Sequence[Event]) -> RunningServer:
    server.ingest(example_events)
    return server


def run(server: RunningServer, *args: object) -> Result:
    return CliRunner().invoke(commands, [*map(str, args), "--server", server.address])


def test_the_csv_is_the_seed_format_to_the_letter(seeded: RunningServer, tmp_path: Path) -> None:
    assert run(seeded, "export").stdout == SEED
    result = run(seeded, "export", "-o", tmp_path / "a.csv.gz")
    assert (result.exit_code, result.stdout) == (0, "")
    assert gzip.decompress((tmp_path / "a.csv.gz").read_bytes()).decode() == SEED


def test_the_json_has_what_it_is_and_the_events(seeded: RunningServer) -> None:
    result = run(seeded, "export", "--format", "json", "--from", "2024-01-01", "--type", "end")
    document = json.loads(result.stdout)
    assert list(document) == ["exportedAt", "query", "totalEvents", "events"]
    assert document["query"] == {"from": "2024-01-01T00:00:00Z", "to": None, "type": ["VIRTUAL_THREAD_END"]}
    assert document["totalEvents"] == 1
    assert document["events"] == [
        {
            "timestamp": "2024-01-01T00:00:00.456Z",
            "eventType": "VIRTUAL_THREAD_END",
            "threadId": 123,
            "threadName": "VT-1",
            "carrierThread": 1,
            "durationNs": 333_000_000,
        }
    ]


def test_a_limit_that_cuts(seeded: RunningServer) -> None:
    result = run(seeded, "export", "--limit", 1)
    assert result.exit_code == 3
    assert result.stdout == "".join(SEED.splitlines(keepends=True)[:2])
    assert "cut by --limit: 1 more match" in result.stderr


def test_cells_that_excel_would_run_are_guarded_and_counted(
    seeded: RunningServer, example_events: Sequence[Event]
) -> None:
    assert "Excel" not in run(seeded, "export", "--excel").stderr
    example_events[0].thread_name = "=cmd()"
    seeded.ingest(example_events[:1])
    result = run(seeded, "export", "--excel")
    assert "'=cmd()" in result.stdout
    assert result.stderr.endswith(", a ' put before 1 cell that Excel would run as a formula\n")


def test_an_export_after_a_watermark_has_just_what_is_new(
    seeded: RunningServer, example_events: Sequence[Event]
) -> None:
    with ExportClient(seeded.address) as client:
        with client.export() as export:
            watermark = export.header.watermark
        client.ingest_events(example_events[:1])
        new = client.export(EventQuery(after_sequence=watermark), columns=["sequence"]).to_arrow()
    assert new.to_pydict() == {"sequence": [watermark + 1]}


def test_the_plan_is_what_the_export_then_holds(seeded: RunningServer) -> None:
    plan = json.loads(run(seeded, "plan", "--json", "--thread-name", "VT-*").stdout)
    assert (plan["totalEvents"], plan["watermark"]) == (2, 2)
    assert (plan["firstTimestamp"], plan["lastTimestamp"]) == (
        "2024-01-01T00:00:00.123Z",
        "2024-01-01T00:00:00.456Z",
    )
    assert plan["columns"] == SEED.splitlines()[0].split(",")
    table = run(seeded, "plan", "--type", "PINNED").stdout.splitlines()
    assert table[0].split() == ["Events", "0"]
    assert not any(line.startswith("First") for line in table)


def test_the_columns_are_those_of_an_export_of_all(seeded: RunningServer) -> None:
    listed = json.loads(run(seeded, "columns", "--json").stdout)
    exported = next(csv.reader(io.StringIO(run(seeded, "export", "--columns", "all").stdout)))
    assert [column["name"] for column in listed] == exported == [column.name for column in COLUMNS]
    lines = run(seeded, "columns").stdout.splitlines()
    assert len(lines) == 1 + len(COLUMNS)
    starred = [line.split()[1] for line in lines if line.startswith("*")]
    assert starred == SEED.splitlines()[0].split(",")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (
            ["--from", "2024-02-01", "--to", "2024-01-01"],
            "--to: '2024-01-01T00:00:00Z' is not allowed; allowed: a time after --from (2024-02-01",
        ),
        (["--columns", "timestamp,nope"], "--columns: 'nope' is not allowed; allowed: "),
        (["--thread-name-regex", "("], "--thread-name-regex: '(' is not allowed; allowed: an RE2 expression"),
        (["--min-duration", "2s", "--max-duration", "1s"], "--max-duration: 1000000000 is not allowed"),
    ],
)
def test_what_the_server_refuses_is_told_by_the_flag(
    server: RunningServer, args: list[str], message: str
) -> None:
    for command in ("export", "plan"):
        result = run(server, command, *args)
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr.startswith(f"Error: {message}")
