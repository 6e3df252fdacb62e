"""Files that `argus-client ingest` is given: read as what they are, or refused in a sentence."""

import csv
import io
import json
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from argus_client.errors import InvalidRequest, SourceError
from argus_client.sources import open_source
from argus_client.sources.csv import CsvSource
from argus_client.sources.jsonl import JsonLinesSource
from tests.fuzz.door import Attempt, Door
from tests.fuzz.mutation import mutate_bytes
from tests.fuzz.real import TEXTS, export_files

ENDINGS = (".jsonl", ".csv", ".json", ".parquet", ".arrow", ".jfr", ".jsonl.gz", ".csv.zst", "")
_MAX_TOLD_CHARACTERS = 5_000
_MAX_BATCHES = 40


@contextmanager
def _open() -> Iterator[Attempt]:
    with TemporaryDirectory(prefix="argus-fuzz-") as folder:

        def attempt(data: bytes) -> None:
            ending, content = (ENDINGS[data[0] % len(ENDINGS)], data[1:]) if data else ("", b"")
            path = Path(folder, f"events{ending}")
            path.write_bytes(content)
            try:
                _read(path)
            except (SourceError, InvalidRequest) as error:
                assert len(str(error)) < _MAX_TOLD_CHARACTERS, "a refusal of any length"
                assert folder in str(error) or "arrow[" in str(error) or "rows.events[" in str(error)
            finally:
                path.unlink()

        yield attempt


def _read(path: Path) -> None:
    # A recording that begins as one is looked at by the JDK's own program, which is not ours to fuzz.
    if path.read_bytes().startswith(b"FLR\0"):
        return
    events = 0
    with open_source(path, "source") as source:
        for place, batch in enumerate(source.batches()):
            assert batch.request.ByteSize() < 4 * 1024 * 1024
            events += batch.counts.total()
            # A bomb would go on for long; each batch of it takes no more than this one.
            if place == _MAX_BATCHES:
                return
    if path.read_bytes().startswith((b"\x1f\x8b", b"\x28\xb5\x2f\xfd")):
        return
    if isinstance(source, JsonLinesSource) and path.suffix == ".jsonl":
        lines = [line for line in path.read_bytes().split(b"\n") if line.strip()]
        told = [json.loads(line) for line in lines]
        assert events in (len(told), len(told) - ("_metadata" in told[0] if told else 0))
    if isinstance(source, CsvSource) and path.suffix == ".csv":
        text = path.read_bytes().decode(errors="replace").removeprefix("\ufeff")
        rows = [row for row in csv.reader(io.StringIO(text, newline="")) if row]
        comments = next(place for place, row in enumerate(rows) if not row[0].startswith("#"))
        assert events == len(rows) - comments - 1


def _seeds() -> Iterator[bytes]:
    for ending, content in export_files():
        yield bytes([ENDINGS.index(ending)]) + content
    yield b"\6" + zlib.compress(bytes(30_000_000), 9, 31)


def _mutate(random: Random, data: bytes, words: Sequence[bytes]) -> bytes:
    """Of what is compressed, now and then what is in it."""
    if data[:1] == b"\6" and random.random() < 0.5:
        with suppress(zlib.error):
            inside = zlib.decompressobj(31).decompress(data[1:], 100_000)
            return b"\6" + zlib.compress(mutate_bytes(random, inside, words), 1, 31)
    return mutate_bytes(random, data, words)


DOOR = Door(
    open=_open,
    seeds=_seeds,
    words=(
        *TEXTS,
        b'"timestamp":',
        b'"eventType":',
        b"2024-01-01T00:00:00Z",
        b"VIRTUAL_THREAD_START",
        b"\n",
        b"\r",
        b'"',
        b'""',
        b",",
        b"[" * 3000,
        b'{"a":' * 3000,
        b"null",
        b"1e400",
        b"9" * 5000,
        b'"events":[',
        b"\xef\xbb\xbf",
        b"# export_id:",
        b"\x1f\x8b",
        b"\x28\xb5\x2f\xfd",
        b"PAR1",
        b"ARROW1\0\0",
        b"\xff\xff\xff\xff",
        b"sequence",
    ),
    mutate=_mutate,
    follows=(
        "argus_client.sources.objects",
        "argus_client.sources.jsonl",
        "argus_client.sources.json",
        "argus_client.sources.csv",
        "argus_client.sources.cells",
        "argus_client.sources.columnar",
        "argus_client.sources.inputs",
        "argus_client.times",
    ),
    max_bytes=64 * 1024,
)
