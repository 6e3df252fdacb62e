"""The main job, end to end: a recording in by the command line, every format out, against `jfr`."""

import csv
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from argus_grpc.columns import COLUMNS
from argus_grpc.v1.export_pb2 import ColumnType
from tests.conftest import start_server
from tests.jfr_oracle import COUNTS, DATA, RECORDINGS, Row, expected_rows, in_order, ns_of
from tests.processes import ENVIRONMENT

NAMES_BY_KEY = {column.json_name: column.name for column in COLUMNS}


def argus_client(address: str, *arguments: str) -> None:
    command = [sys.executable, "-m", "argus_client", *arguments]
    subprocess.run(command, env=ENVIRONMENT | {"ARGUS_SERVER": address}, check=True)


@pytest.fixture(scope="module", params=RECORDINGS)
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with everything of one recording as NAME.csv, NAME.json and NAME.jsonl."""
    folder = tmp_path_factory.mktemp("recording")
    for running in start_server(folder):
        argus_client(running.address, "ingest", str(DATA / f"{request.param}.jfr"))
        for ending in ("csv", "json", "jsonl"):
            file = folder / f"{request.param}.{ending}"
            argus_client(running.address, "export", "--columns", "all", "-o", str(file))
        yield folder / request.param


def test_csv_holds_what_jfr_says(exported: Path) -> None:
    with exported.with_suffix(".csv").open(newline="", encoding="utf-8") as file:
        rows = [_row_of_csv(fields) for fields in csv.DictReader(file)]
    _check(rows, exported.name)


def test_json_holds_what_jfr_says(exported: Path) -> None:
    document = json.loads(exported.with_suffix(".json").read_text(encoding="utf-8"))
    assert document["totalEvents"] == len(document["events"])
    _check([_row_of_json(event) for event in document["events"]], exported.name)


def test_json_lines_hold_what_jfr_says(exported: Path) -> None:
    with exported.with_suffix(".jsonl").open(encoding="utf-8") as lines:
        _check([_row_of_json(json.loads(line)) for line in lines], exported.name)


def _check(rows: list[Row], recording: str) -> None:
    places = [(row["timestamp"], row.pop("sequence")) for row in rows]
    assert places == sorted(places)
    assert sorted(sequence for _, sequence in places) == list(range(1, len(rows) + 1))
    assert Counter(row["event_type"] for row in rows) == COUNTS[recording]
    assert in_order(rows) == in_order(expected_rows(DATA / f"{recording}.jfr"))


def _row_of_json(event: Row) -> Row:
    row = {NAMES_BY_KEY[key]: value for key, value in event.items()}
    return row | {"timestamp": ns_of(row["timestamp"])}


def _row_of_csv(fields: dict[str, str]) -> Row:
    row: Row = {}
    for column in COLUMNS:
        text = fields[column.name]
        match column.type:
            case ColumnType.COLUMN_TYPE_TIMESTAMP_NS:
                row[column.name] = ns_of(text)
            case ColumnType.COLUMN_TYPE_STRING | ColumnType.COLUMN_TYPE_EVENT_TYPE if text:
                row[column.name] = text
            case ColumnType.COLUMN_TYPE_DOUBLE if text:
                row[column.name] = float(text)
            case _ if text:
                row[column.name] = int(text)
    return row
