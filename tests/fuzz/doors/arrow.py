"""The Arrow IPC stream inside of IngestEvents' request."""

from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa

from argus_grpc.errors import InvalidField
from argus_grpc.ingest import arrow
from argus_grpc.ingest.checks import check
from tests.fuzz.door import Attempt, Door
from tests.fuzz.real import arrow_streams

_MAX_TOLD_CHARACTERS = 2_000


@contextmanager
def _open() -> Iterator[Attempt]:
    yield _attempt


def _attempt(data: bytes) -> None:
    try:
        batch = arrow.to_batch(data)
        check(batch, arrow.path)
    except InvalidField as refusal:
        assert len(str(refusal)) < _MAX_TOLD_CHARACTERS, "a refusal of any length"
        return
    batch.validate(full=True)
    # Every value can be read; what was accepted has not more text than the bound.
    batch.to_pylist()
    assert batch.nbytes < arrow.MAX_TEXT_BYTES + 10 * len(data) + 1_000_000
    with pa.ipc.open_stream(data) as reader:
        assert sum(given.num_rows for given in reader) == batch.num_rows


def _seeds() -> Iterator[bytes]:
    yield from arrow_streams()


DOOR = Door(
    open=_open,
    seeds=_seeds,
    words=(
        b"\xff\xff\xff\xff",
        b"\xff\xff\xff\x7f",
        b"\x00\x00\x00\x80",
        bytes(8),
        b"timestamp",
        b"source",
        b"UTC",
    ),
    follows=(
        "argus_grpc.ingest.arrow",
        "argus_grpc.ingest.ipc",
        "argus_grpc.ingest.texts",
        "argus_grpc.ingest.checks",
    ),
    max_bytes=32 * 1024,
)
