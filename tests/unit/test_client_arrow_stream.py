"""Batches from a server that lies: refused before they cost memory or are read where nothing is."""

import struct

import pyarrow as pa
import pytest

from argus_client.arrow_stream import read_arrow_stream
from tests.fuzz.real import REAL_EVENTS, stream_of
from tests.strategies import batch_of


def test_a_right_stream_is_read() -> None:
    batch = batch_of(REAL_EVENTS)
    assert read_arrow_stream(stream_of(batch)) == [batch]


@pytest.mark.parametrize("compression", ["zstd", "lz4"])
def test_compressed_buffers(compression: str) -> None:
    zeros = pa.record_batch({"duration_ns": pa.array([0] * 1_000_000)})
    with pytest.raises(ValueError, match="has compressed buffers"):
        read_arrow_stream(stream_of(zeros, compression=compression))


def test_offsets_that_point_anywhere() -> None:
    stream = stream_of(pa.record_batch({"thread_name": pa.array(["abcdefgh"])}))
    right, wrong = struct.pack("<2i", 0, 8), struct.pack("<2i", 0, 2**30)
    assert right in stream
    with pytest.raises(ValueError, match="is not an Arrow stream"):
        read_arrow_stream(stream.replace(right, wrong))


def test_text_that_is_not_utf8() -> None:
    names = pa.array([b"\xff"]).view(pa.string())
    with pytest.raises(ValueError, match="is not an Arrow stream"):
        read_arrow_stream(stream_of(pa.record_batch({"thread_name": names})))


def test_one_long_text_for_many_rows() -> None:
    places = pa.array([0] * 1_000, pa.int8())
    types = pa.DictionaryArray.from_arrays(places, pa.array(["x" * 10_000]))
    with pytest.raises(ValueError, match="dictionary of more than the event types"):
        read_arrow_stream(stream_of(pa.record_batch({"event_type": types})))


@pytest.mark.parametrize("stream", [b"", b"no", bytes(64), b"\xff\xff\xff\xff\xff\xff\xff\x7f"])
def test_what_is_no_stream(stream: bytes) -> None:
    with pytest.raises(ValueError, match="is not an Arrow stream"):
        read_arrow_stream(stream)
