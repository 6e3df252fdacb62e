"""Exports go back in: from one server into a second, whose events are then equal, sequence apart."""

import itertools
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from argus_client import ExportClient
from argus_client.cli import commands
from argus_grpc.columns import COLUMNS
from argus_grpc.v1.event_pb2 import Event
from tests.conftest import RunningServer, start_server
from tests.integration.test_encodings import INGESTIBLE_EVENTS
from tests.jfr_oracle import DATA, JFR, RECORDINGS

pytestmark = pytest.mark.duckdb

STORED = [column.name for column in COLUMNS if column.name != "sequence"]
FORMS = (
    ("a.csv",),
    ("a.csv.gz", "--metadata", "--header", "titles"),
    ("a.csv", "--excel", "--metadata", "--time-precision", "ns"),
    ("a.csv.zst", "--order", "arrival"),
    ("a.json",),
    ("a.json.gz", "--time-precision", "ns"),
    ("a.jsonl", "--metadata"),
    ("a.jsonl.zst",),
    ("a.parquet",),
    ("a.arrow", "--order", "arrival"),
)


def argus_client(server: RunningServer, *arguments: object) -> None:
    result = CliRunner().invoke(commands, [*map(str, arguments)], env={"ARGUS_SERVER": server.address})
    assert result.exit_code == 0, result.stderr


@pytest.fixture(scope="module")
def second(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    yield from start_server(tmp_path_factory.mktemp("second"))


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server with the real recordings' events."""
    for running in start_server(tmp_path_factory.mktemp("recorded")):
        argus_client(running, "ingest", "--jfr", JFR, *(DATA / f"{name}.jfr" for name in RECORDINGS))
        yield running


def stored(server: RunningServer) -> list[tuple[object, ...]]:
    """All events, in an order that no sequence decides; doubles as text, which tells NaN, but not its sign,
    which files of text do not have."""
    doubles = ", ".join(
        f"replace({name}::VARCHAR, '-nan', 'nan') AS {name}" for name in STORED if name.startswith("cpu_")
    )
    return server.sql(f"SELECT * EXCLUDE sequence REPLACE ({doubles}) FROM events ORDER BY ALL")


def empty(server: RunningServer) -> None:
    """Takes all events away, and what the server knows of batches."""
    for table in ("events", "argus_batches"):
        server.sql(f"DELETE FROM {table}")


@pytest.mark.parametrize("form", FORMS, ids=" ".join)
def test_a_recording_s_events_in_every_form(
    form: tuple[str, ...], recorded: RunningServer, second: RunningServer, tmp_path: Path
) -> None:
    name, *options = form
    file = tmp_path / name
    argus_client(recorded, "export", "--columns", "all", "-o", file, *options)
    empty(second)
    # Text without a file's name to tell its kind or source by.
    argus_client(second, "ingest", file.rename(tmp_path / "renamed"))
    assert stored(second) == stored(recorded)


def _without_what_is_lost(events: Sequence[Event], name: str, options: Sequence[str]) -> list[Event]:
    kept = []
    for given_event in events:
        event = Event()
        event.CopyFrom(given_event)
        for field, value in given_event.ListFields():
            if isinstance(value, float) and not math.isfinite(value) and "json" in name:
                event.ClearField(field.name)  # type: ignore[arg-type]
            if (
                isinstance(value, str)
                and "--excel" in options
                and value[:1] == "'"
                and value[1:2] in "=+-@\t\r"
            ):
                setattr(event, field.name, f"x{value}")
        kept.append(event)
    return kept


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(events=st.lists(INGESTIBLE_EVENTS, min_size=1, max_size=8))
def test_any_events_in_every_form(
    events: list[Event],
    shared_server: RunningServer,
    second: RunningServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    for name, *options in FORMS:
        kept = _without_what_is_lost(events, name, options)
        for server in (shared_server, second):
            empty(server)
        shared_server.ingest(kept)
        file = tmp_path_factory.mktemp("forms") / name
        argus_client(shared_server, "export", "--columns", "all", "-o", file, *options)
        argus_client(second, "ingest", file)
        assert stored(second) == stored(shared_server)


def test_some_columns_in_another_order(
    shared_server: RunningServer, second: RunningServer, tmp_path: Path
) -> None:
    for server in (shared_server, second):
        empty(server)
    shared_server.ingest(
        [Event(timestamp=n, event_type=10, source="a", gc_name="G1New", duration_ns=n) for n in range(5)]  # type: ignore[arg-type]
    )
    columns = ("gc_name", "event_type", "timestamp")
    for number, (order, name) in enumerate(
        itertools.product((columns, columns[::-1]), ("csv", "json", "jsonl", "parquet", "arrow"))
    ):
        file = tmp_path / f"some-{number}.{name}"
        argus_client(shared_server, "export", "--columns", ",".join(order), "-o", file)
        argus_client(second, "ingest", "--source", f"b{number}", file)
    rows = second.sql(
        "SELECT source, list((timestamp, gc_name, duration_ns) ORDER BY timestamp) FROM events GROUP BY 1"
    )
    assert dict(rows) == {f"b{n}": [(t, "G1New", None) for t in range(5)] for n in range(10)}


def test_the_python_client_stores_a_file(second: RunningServer) -> None:
    empty(second)
    with ExportClient(second.address) as client:
        result = client.ingest_file(DATA / "vt25.jfr", source="orders", jfr=JFR)
        assert result.events == client.plan().total_events == 22_238
