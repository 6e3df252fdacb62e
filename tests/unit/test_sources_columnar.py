"""Parquet and Arrow exports read back, and files of these kinds that are none."""

import gzip
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from argus_client import SourceError
from argus_client.formats import groups, make_renderer
from argus_client.sources import UnknownKind, open_source
from argus_grpc.v1.event_pb2 import Event, EventType
from argus_grpc.v1.export_pb2 import ExportSummary
from tests.strategies import batch_of, header_of

EVENTS = [
    Event(
        sequence=n + 1,
        timestamp=1_704_067_200_123_456_789 + n,
        event_type=EventType.EVENT_TYPE_GC_PAUSE,
        source="orders" if n % 2 else "stock",
        gc_name="" if n == 3 else "G1New",
    )
    for n in range(9)
]

formats = pytest.mark.parametrize("format", ["parquet", "arrow"])


@pytest.fixture(autouse=True)
def _small_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groups, "MAX_GROUP_ROWS", 4)


def exported(format: str) -> bytes:
    renderer = make_renderer(format)
    parts = [renderer.begin(header_of()), renderer.render(batch_of(EVENTS)), renderer.end(ExportSummary())]
    return b"".join(map(bytes, parts))


@formats
def test_its_events_are_read_whatever_it_is_called(format: str, tmp_path: Path) -> None:
    path = tmp_path / "stock.data"
    expected = [Event.FromString(event.SerializeToString()) for event in EVENTS]
    for event in expected:
        event.ClearField("sequence")
    for data in (exported(format), gzip.compress(exported(format))):
        path.write_bytes(data)
        with open_source(path) as source:
            assert list(source) == expected
            assert source.fraction == 1
        with open_source(path, "all") as source:
            assert {event.source for event in source} == {"all"}
            assert next(batch.source for batch in source.batches()) == "all"


@formats
def test_one_that_was_cut_is_refused(format: str, tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(exported(format)[:-1])
    with pytest.raises(SourceError, match="a is cut off or damaged: "):
        open_source(path)


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        (
            {"timestamp": [1], "event_type": ["GC_PAUSE"], "price": [2]},
            '"price" is not a column of events; col',
        ),
        ({"timestamp": [1]}, "has no column event_type, which every event needs"),
        ({"event_type": ["GC_PAUSE"]}, "has no column timestamp, which every event needs"),
    ],
)
def test_another_table_is_none_of_events(columns: dict[str, list[object]], told: str, tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    parquet.write_table(pa.table(columns), path)
    with pytest.raises(UnknownKind, match=told):
        open_source(path)
