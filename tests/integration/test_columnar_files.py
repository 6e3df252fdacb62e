"""Parquet and Arrow files, and what pandas, polars and DuckDB get, against JSON Lines and plain SQL."""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from click.testing import CliRunner, Result
from pyarrow import parquet

from argus_client import BrokenExport, EventQuery, ExportClient, checkpointing
from argus_client.cli import commands
from argus_client.formats import groups, make_renderer
from argus_client.manifest import read_manifest
from argus_client.stream import ResumePoint
from argus_client.verification import verify_file
from argus_grpc.columns import COLUMNS
from tests.conftest import RunningServer, start_server
from tests.processes import ENVIRONMENT
from tests.synthetic import make_store

pytestmark = pytest.mark.duckdb

ROWS = 3_000
NAMES = ["a.parquet", "a.arrow"]


@pytest.fixture(autouse=True)
def _small_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groups, "MAX_GROUP_ROWS", 700)


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("events")
    make_store(folder / "events.duckdb", rows=ROWS)
    yield from start_server(folder)


@pytest.fixture
def client(events: RunningServer) -> Iterator[ExportClient]:
    with ExportClient(events.address) as client:
        yield client


def run(server: RunningServer, *args: object) -> Result:
    return CliRunner().invoke(commands, ["export", "--server", server.address, *map(str, args)])


def read(path: Path) -> pa.Table:
    return parquet.read_table(path) if path.suffix == ".parquet" else pa.ipc.open_file(path).read_all()


def objects(table: pa.Table) -> list[dict[str, Any]]:
    """The rows as JSON has them, with timestamps in nanoseconds."""
    keys = {column.name: column.json_name for column in COLUMNS}
    place = table.schema.get_field_index("timestamp")
    table = table.set_column(place, "timestamp", table["timestamp"].cast(pa.int64()))
    return [{keys[name]: v for name, v in row.items() if v is not None} for row in table.to_pylist()]


def json_objects(server: RunningServer) -> list[dict[str, Any]]:
    rows = [
        json.loads(line) for line in run(server, "--format", "jsonl", "--columns", "all").stdout.splitlines()
    ]
    for row in rows:
        row["timestamp"] = int(np.datetime64(row["timestamp"].removesuffix("Z"), "ns").astype(np.int64))
    return rows


@pytest.mark.parametrize("name", NAMES)
def test_a_file_has_the_events_of_json_lines(events: RunningServer, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    result = run(events, "-o", path, "--columns", "all")
    assert result.exit_code == 0, result.stderr
    assert re.fullmatch(rf"3,000 events, [0-9.]+ kB, {path}\n|3,000 events, .* MB, {path}\n", result.stderr)
    assert objects(read(path)) == json_objects(events)
    assert verify_file(path).is_whole
    manifest = read_manifest(path.with_name(f"{name}.manifest.json"))
    metadata = json.loads(read(path).schema.metadata[b"argus_export"])
    for key in ("exportedAt", "query", "exportId", "watermark", "order"):
        assert metadata[key] == manifest[key]
    assert metadata["columns"] == [column.name for column in COLUMNS]


@pytest.mark.parametrize("name", NAMES)
def test_to_standard_output_it_is_the_same_file(events: RunningServer, tmp_path: Path, name: str) -> None:
    format = name.partition(".")[2]
    command = [sys.executable, "-m", "argus_client", "export", "--server", events.address, "--format", format]
    done = subprocess.run([*command, "--columns", "all"], capture_output=True, env=ENVIRONMENT, check=True)
    path = tmp_path / name
    path.write_bytes(done.stdout)
    assert objects(read(path)) == json_objects(events)


@pytest.mark.parametrize("name", NAMES)
def test_an_interrupted_file_goes_on_after_its_last_group(
    client: ExportClient, events: RunningServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(checkpointing, "CHECKPOINT_INTERVAL_S", 0.0)
    with client.export() as export:
        start = ResumePoint(export.header.resume_token, 0)
    client.export(resume_from=start).write(tmp_path / f"whole-{name}")

    def stop(rows: int) -> None:
        if rows > 1_900:
            raise KeyboardInterrupt

    path = tmp_path / name
    with pytest.raises(KeyboardInterrupt):
        client.export(resume_from=start, max_batch_bytes=16 * 1024).write(path, on_progress=stop)
    checkpoint = json.loads(path.with_name(f"{name}.part.checkpoint").read_bytes())
    assert checkpoint["rows"] == 1_400
    assert 0 < checkpoint["resume_point"]["rows"] <= 1_400
    refused = run(events, "-o", path, "--resume", "--excel", "--format", "csv")
    assert f"--format: csv, but the interrupted export has {path.suffix[1:]}" in refused.stderr
    notices: list[str] = []
    client.export(resume_from=start).write(path, resume=True, on_notice=notices.append)
    assert notices == [f"going on with {path} after {checkpoint['resume_point']['rows']:,} events"]
    assert path.read_bytes() == (tmp_path / f"whole-{name}").read_bytes()


@pytest.mark.parametrize("name", NAMES)
def test_with_another_pyarrow_a_file_is_not_gone_on_with(
    client: ExportClient, events: RunningServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def stop(_rows: int) -> None:
        raise KeyboardInterrupt

    path = tmp_path / name
    with pytest.raises(KeyboardInterrupt):
        client.export().write(path, on_progress=stop)
    ours = pa.__version__
    monkeypatch.setattr(pa, "__version__", "1.2.3")
    refused = run(events, "-o", path, "--resume")
    assert refused.exit_code == 2
    assert f"pyarrow_version: 1.2.3, but the interrupted export has {ours}" in refused.stderr


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("limit", [1_400, 1_500])
def test_where_only_the_end_is_missing_a_limit_is_the_whole_files(
    client: ExportClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, limit: int
) -> None:
    monkeypatch.setattr(checkpointing, "CHECKPOINT_INTERVAL_S", 0.0)
    path, whole = tmp_path / name, tmp_path / f"whole-{name}"
    with client.export(limit=limit) as export:
        start = ResumePoint(export.header.resume_token, 0)
    client.export(limit=limit, resume_from=start).write(whole)

    def stop(rows: int) -> None:
        if rows == limit:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        client.export(limit=limit, resume_from=start, max_batch_bytes=16 * 1024).write(path, on_progress=stop)
    assert path.with_name(f"{name}.part").stat().st_size > 10_000
    assert client.export(limit=limit, resume_from=start).write(path, resume=True).events == limit
    assert path.read_bytes() == whole.read_bytes()


@pytest.mark.parametrize("name", NAMES)
def test_what_the_limit_cuts_is_said(events: RunningServer, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    result = run(events, "-o", path, "--limit", 1_000)
    assert result.exit_code == 3
    assert "cut by --limit: 2,000 more match" in result.stderr
    assert read(path).num_rows == 1_000
    assert read_manifest(path.with_name(f"{name}.manifest.json"))["rowsRemaining"] == 2_000


def test_the_rest_of_an_export_is_a_file_of_its_own(client: ExportClient, tmp_path: Path) -> None:
    export = client.export(max_batch_bytes=16 * 1024)
    first = next(iter(export))
    for name in NAMES:
        client.export(resume_from=export.resume_point).write(tmp_path / name)
        table = client.export().to_arrow().slice(first.num_rows)
        assert read(tmp_path / name).to_pylist() == table.to_pylist()


def test_the_methods_of_the_library_write_them(client: ExportClient, tmp_path: Path) -> None:
    assert client.export().to_parquet(tmp_path / "a").events == ROWS
    assert client.export().to_arrow_file(tmp_path / "b").events == ROWS
    assert parquet.read_table(tmp_path / "a").equals(pa.ipc.open_file(tmp_path / "b").read_all())
    with pytest.raises(ValueError, match="compress: parquet is compressed inside"):
        client.export().write(tmp_path / "c.parquet", compression="gzip")
    assert sorted(path.name for path in tmp_path.glob("c*")) == []


def test_in_pandas_the_events_have_their_types_and_values(
    events: RunningServer, client: ExportClient
) -> None:
    frame = client.export(columns="all").to_pandas()
    dtypes = {name: str(dtype) for name, dtype in frame.dtypes.items()}
    assert dtypes.pop("timestamp") == "datetime64[ns, UTC]"
    assert dtypes.pop("event_type") == "category"
    assert dtypes.pop("line_number") == "Int32"
    assert set(dtypes.values()) == {"Int64", "Float64", "string"}
    assert frame["timestamp"].astype("int64").tolist() == [
        row[0] for row in events.sql("SELECT timestamp FROM events ORDER BY timestamp, sequence")
    ]
    assert _rows_of(frame.astype(object).where(frame.notna(), None)) == json_rows(events)


def _rows_of(frame: pd.DataFrame) -> list[tuple[Any, ...]]:
    return list(frame.drop(columns="timestamp").itertuples(index=False, name=None))


def json_rows(server: RunningServer) -> list[tuple[Any, ...]]:
    """All values but the timestamps."""
    keys = [column.json_name for column in COLUMNS if column.name != "timestamp"]
    return [tuple(row.get(key) for key in keys) for row in json_objects(server)]


def test_in_polars_the_events_have_their_types_and_values(
    events: RunningServer, client: ExportClient
) -> None:
    frame = client.export(columns="all").to_polars()
    assert frame.schema["timestamp"] == pl.Datetime("ns", "UTC")
    assert frame.schema["event_type"] == pl.Categorical
    assert frame.schema["duration_ns"] == pl.Int64
    assert frame.drop("timestamp").rows() == json_rows(events)
    assert frame["timestamp"].to_physical().to_list() == [row["timestamp"] for row in json_objects(events)]


def test_in_duckdb_the_events_have_their_types_and_values(
    events: RunningServer, client: ExportClient
) -> None:
    with duckdb.connect() as connection:
        assert client.export(columns="all", max_batch_bytes=16 * 1024).to_duckdb(connection, 'a "b"') == ROWS
        table = connection.sql('FROM "a ""b"""')
        assert dict(zip(table.columns, map(str, table.types), strict=True)) == {
            column.name: _duckdb_type_of(column.arrow_type, column.name) for column in COLUMNS
        }
        assert table.project("* EXCLUDE timestamp").fetchall() == json_rows(events)
        assert table.project("epoch_ns(timestamp)").fetchall() == [
            (row["timestamp"],) for row in json_objects(events)
        ]


def _duckdb_type_of(type_: pa.DataType, name: str) -> str:
    if name == "timestamp":
        return "TIMESTAMP_NS"
    names = {pa.int64(): "BIGINT", pa.int32(): "INTEGER", pa.float64(): "DOUBLE"}
    return "VARCHAR" if name == "event_type" else names.get(type_, "VARCHAR")


def test_in_duckdb_they_are_appended_or_nothing_is(
    events: RunningServer, client: ExportClient, tmp_path: Path
) -> None:
    [(pauses,)] = events.sql("SELECT count(*) FROM events WHERE event_type = 10")
    with duckdb.connect(tmp_path / "a.duckdb") as connection:
        connection.execute("CREATE TABLE t (note VARCHAR, thread_id BIGINT, event_type VARCHAR)")
        columns = ["event_type", "thread_id"]
        assert (
            client.export(EventQuery(types=["GC_PAUSE"]), columns=columns).to_duckdb(connection, "t")
            == pauses
        )
        export = client.export(columns=columns, max_batch_bytes=16 * 1024)
        broken = export.read

        def breaks() -> Iterator[pa.RecordBatch | None]:
            yield next(broken())
            raise BrokenExport("as if it had been cut")

        export.read = breaks  # type: ignore[method-assign]
        with pytest.raises(BrokenExport):
            export.to_duckdb(connection, "t")
        assert connection.sql("SELECT count(*), count(note) FROM t").fetchall() == [(pauses, 0)]
        with pytest.raises(
            ValueError, match="table t is there, with other columns: timestamp is missing, not TIM"
        ):
            client.export().to_duckdb(connection, "t")
        connection.execute("CREATE TABLE u AS SELECT now() AS timestamp")
        with pytest.raises(ValueError, match="timestamp is TIMESTAMP WITH TIME ZONE, not TIMESTAMP_NS"):
            client.export(columns="timestamp").to_duckdb(connection, "u")
        connection.begin()
        with pytest.raises(duckdb.TransactionException):
            client.export().to_duckdb(connection, "v")
        connection.rollback()
        assert connection.sql("SHOW TABLES").fetchall() == [("t",), ("u",)]


@pytest.mark.parametrize(
    ("package", "call"), [("pandas", lambda export: export.to_pandas()), ("polars", lambda e: e.to_polars())]
)
def test_a_package_that_is_missing_is_named(
    client: ExportClient, monkeypatch: pytest.MonkeyPatch, package: str, call: Callable[[Any], object]
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=f"to_{package} needs the package {package}: pip install {package}"):
        call(client.export(limit=1))


def test_what_is_followed_has_no_end_for_them(client: ExportClient, tmp_path: Path) -> None:
    with client.export(follow=True) as export, duckdb.connect() as connection:
        for call in (export.to_pandas, export.to_polars, lambda: export.to_duckdb(connection, "t")):
            with pytest.raises(RuntimeError, match="has no end to wait for"):
                call()
        with pytest.raises(
            Exception, match="'arrow' is not allowed for an export that is followed: it keeps"
        ):
            export.write(tmp_path / "a.arrow")


def test_the_renderers_are_for_whoever_streams(client: ExportClient, tmp_path: Path) -> None:
    """As the HTTP gateway uses them."""
    for name in NAMES:
        with client.export(max_batch_bytes=16 * 1024) as export, (tmp_path / name).open("wb") as file:
            renderer = make_renderer(name.partition(".")[2])
            file.write(renderer.begin(export.header))
            for batch in export:
                file.write(renderer.render(batch))
            file.write(renderer.end(export.summary))
        assert read(tmp_path / name).equals(client.export().to_arrow())
