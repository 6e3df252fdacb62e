"""What comes out depends on the bytes alone, ends anywhere, and every common program reads it."""

import gzip
import random
import shutil
import subprocess
from itertools import pairwise
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from argus_client.compression import BLOCK_BYTES, Compression, Compressor

COMPRESSED: tuple[Compression, ...] = ("gzip", "zstd")
ALL: tuple[Compression, ...] = ("none", *COMPRESSED)
# Some compressible, some not, two blocks and a half.
DATA = random.Random(1).randbytes(BLOCK_BYTES // 2) + b"timestamp,thread\n" * (2 * BLOCK_BYTES // 17)


def compressed(parts: list[bytes], compression: Compression, settled_bytes: int = 0) -> bytes:
    compressor = Compressor(compression, settled_bytes)
    pieces = [bytes(piece) for part in parts for piece in compressor.compress(part)]
    return b"".join(pieces) + compressor.finish()


def decompressed(data: bytes, compression: Compression) -> bytes:
    if compression == "none":
        return data
    return bytes(pa.input_stream(pa.py_buffer(data), compression=compression).read())


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(0, len(DATA)), max_size=6).map(sorted), st.sampled_from(ALL))
def test_how_the_bytes_come_does_not_show(places: list[int], compression: Compression) -> None:
    edges = [0, *places, len(DATA)]
    parts = [DATA[a:b] for a, b in pairwise(edges)]
    assert compressed(parts, compression) == compressed([DATA], compression)


@pytest.mark.parametrize("compression", ALL)
@pytest.mark.parametrize("size", [0, 1, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, len(DATA)])
def test_the_bytes_come_back(size: int, compression: Compression) -> None:
    data = compressed([DATA[:size]], compression)
    assert decompressed(data, compression) == DATA[:size]
    if compression == "gzip":
        assert gzip.decompress(data) == DATA[:size]


@pytest.mark.parametrize("compression", ALL)
def test_another_compressor_goes_on_where_a_block_ended(compression: Compression) -> None:
    whole = compressed([DATA], compression)
    first = Compressor(compression)
    written = b""
    for start in range(0, len(DATA), 300_000):
        written += b"".join(map(bytes, first.compress(DATA[start : start + 300_000])))
        settled = first.settled_bytes
        assert settled % BLOCK_BYTES == 0 or compression == "none"
        assert written + compressed([DATA[settled:]], compression, settled) == whole
    # At the very end, and with nothing more to come.
    assert compressed([], compression, settled_bytes=len(DATA)) == b""


def test_gzip_bytes_carry_no_time_and_no_name() -> None:
    data = compressed([b"same"], "gzip")
    # RFC 1952, 2.3: FLG says no name; MTIME 0 is no time.
    assert (data[3], data[4:8]) == (0, b"\0\0\0\0")


@pytest.mark.parametrize(("compression", "ending"), [("gzip", "gz"), ("zstd", "zst")])
def test_common_programs_read_all_blocks(tmp_path: Path, compression: Compression, ending: str) -> None:
    text = b"a,b\n" + b"".join(b"%d,x%d\n" % (i, i % 7) for i in range(400_000))
    assert len(text) > 3 * BLOCK_BYTES
    path = tmp_path / f"x.csv.{ending}"
    path.write_bytes(compressed([text], compression))
    total = sum(range(400_000))

    assert pyarrow.csv.read_csv(path)["a"].to_numpy().sum() == total
    assert duckdb.sql(f"SELECT count(*), sum(a) FROM read_csv('{path}')").fetchone() == (400_000, total)
    if compression == "gzip":
        assert pd.read_csv(path)["a"].sum() == total
        with gzip.open(path) as file:
            assert file.read() == text
    for program in (["gunzip", "-c"], ["zcat"]) if compression == "gzip" else (["zstdcat"],):
        if shutil.which(program[0]):
            assert subprocess.run([*program, str(path)], capture_output=True, check=True).stdout == text
