"""A full disk: told clearly, nothing acknowledged lost, nothing refused stored, healed without a restart."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import grpc
import psutil
import pyarrow as pa
import pytest

from argus_grpc.errors import StoreFull
from argus_grpc.query import matching
from argus_grpc.store import BatchId, DuckDbStore, duckdb_store
from argus_grpc.store.disk import DiskSpace
from argus_grpc.v1.export_pb2 import Order, StreamEventsRequest
from argus_grpc.v1.export_pb2_grpc import ExportServiceStub
from argus_grpc.v1.ingest_pb2_grpc import IngestServiceStub
from argus_grpc.v1.query_pb2 import EventQuery
from tests.granting import unrestricted
from tests.ingesting import exhausted, numbered_batch
from tests.processes import server_process

pytestmark = [
    pytest.mark.duckdb,
    pytest.mark.skipif(sys.platform != "linux", reason="limits the files of another process"),
]

MIB = 1024 * 1024
ROWS = 500
# Texts that do not compress, so that a few batches fill a small disk.
TEXT = "".join(f"{hash((1, i)) & 0xFFFFFFFF:08x}" for i in range(20))


def fill(channel: grpc.Channel, first: int) -> tuple[dict[int, range], int]:
    """Ingests until the disk is full; what was acknowledged, and the number of the batch that was refused."""
    acknowledged: dict[int, range] = {}
    stub = IngestServiceStub(channel)
    for number in range(first, first + 10_000):
        try:
            answer = stub.IngestEvents(numbered_batch("s", number, ROWS, f"{number} {TEXT}"))
        except grpc.RpcError as error:
            refusal = error
            break
        acknowledged[number] = range(answer.first_sequence, answer.last_sequence + 1)
    assert exhausted(refusal)[0] == "disk_space"
    assert "the database's disk is full" in str(refusal.details())
    assert "nothing of the batch was stored" in str(refusal.details())
    assert "duckdb" not in str(refusal.details())
    return acknowledged, number


def exported(channel: grpc.Channel) -> list[int]:
    request = StreamEventsRequest(columns=["sequence"])
    answers = ExportServiceStub(channel).StreamEvents(request)
    return sorted(event.sequence for answer in answers for event in answer.batch.rows.events)


def check(
    database: Path, make_full: Callable[[int], None], make_room: Callable[[int], None], *flags: str
) -> None:
    """The whole story, twice over."""
    acknowledged: dict[int, range] = {}
    with server_process(database, "--disk-reserve", "0", *flags) as server:
        with grpc.insecure_channel(server.address) as channel:
            stub, refused = IngestServiceStub(channel), 0
            for _ in range(2):
                make_full(server.process.pid)
                more, refused = fill(channel, refused)
                acknowledged |= more
                assert exported(channel) == list(range(1, len(acknowledged) * ROWS + 1))
                # What was stored before is still known, and what is refused stays so.
                known = max(acknowledged)
                assert stub.IngestEvents(numbered_batch("s", known, ROWS)).was_stored_before
                make_room(server.process.pid)
                answer = stub.IngestEvents(numbered_batch("s", refused, ROWS, f"{refused} {TEXT}"))
                assert not answer.was_stored_before
                acknowledged[refused] = range(answer.first_sequence, answer.last_sequence + 1)
                refused += 1
        assert server.stop() == 0
    with duckdb.connect(database, read_only=True) as connection:
        stored = connection.execute(
            "SELECT thread_id - 1, count(*), count(DISTINCT duration_ns), min(sequence), max(sequence)"
            " FROM events GROUP BY ALL ORDER BY ALL"
        ).fetchall()
    assert stored == [
        (number, ROWS, ROWS, sequences[0], sequences[-1])
        for number, sequences in sorted(acknowledged.items())
    ]


def _limit_files(limit_bytes: int) -> Callable[[int], None]:
    """Files of that process can grow to this size and no further."""

    def limit(pid: int) -> None:
        _, hard = psutil.Process(pid).rlimit(psutil.RLIMIT_FSIZE)
        psutil.Process(pid).rlimit(psutil.RLIMIT_FSIZE, (limit_bytes, hard))

    return limit


def _limit_files_to_now(database: Path, more_bytes: int) -> Callable[[int], None]:
    def limit(pid: int) -> None:
        files = [file for file in database.parent.glob("events.duckdb*") if file.is_file()]
        _limit_files(max(file.stat().st_size for file in files) + more_bytes)(pid)

    return limit


def test_the_log_cannot_grow(tmp_path: Path) -> None:
    database = tmp_path / "events.duckdb"
    check(database, _limit_files_to_now(database, 2 * MIB), _limit_files(psutil.RLIM_INFINITY))


@contextmanager
def tmpfs(folder: Path, size_bytes: int) -> Iterator[Path]:
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(command, capture_output=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount here")
    if mounted.returncode:
        pytest.skip(f"mounting is not permitted here: {mounted.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_small_disk_is_full(tmp_path: Path) -> None:
    with tmpfs(tmp_path / "disk", 32 * MIB) as folder:
        ballast = folder / "ballast"

        def make_full(_: int) -> None:
            ballast.write_bytes(bytes(shutil.disk_usage(folder).free - 2 * MIB))

        check(folder / "events.duckdb", make_full, lambda _: ballast.unlink())


def incompressible(rows: int) -> pa.RecordBatch:
    columns = {
        "timestamp": pa.array(range(rows), pa.int64()),
        "event_type": pa.array([3] * rows, pa.int32()),
        "source": pa.array(["s"] * rows),
        "stack_trace": pa.array([os.urandom(100).hex() for _ in range(rows)]),
    }
    return pa.RecordBatch.from_arrays(list(columns.values()), names=list(columns))


# Of small transactions DuckDB has written the log before the checkpoint, large ones are lost with it.
@pytest.mark.parametrize("rows", [100, 1_000])
def test_a_failed_checkpoint_loses_nothing_and_is_healed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    """DuckDB gives a database up whose checkpoint failed: the store opens it again, readers included."""
    monkeypatch.setattr(duckdb_store, "checkpoint_bytes", lambda _: MIB)
    store = DuckDbStore(tmp_path / "events.duckdb", 512 * MIB)
    compiled = store.compile(lambda: matching(unrestricted(EventQuery())))
    selection = store.select(compiled, 10**9, Order.ORDER_TIME)
    stored, first = 0, store._database._connection
    limit = psutil.Process().rlimit(psutil.RLIMIT_FSIZE)
    psutil.Process().rlimit(psutil.RLIMIT_FSIZE, (2 * MIB, limit[1]))
    try:
        while store._database._connection is first:
            answer = store.append(incompressible(rows), BatchId("s", str(stored)))
            stored += rows
            assert (answer.sequences[-1], answer.was_stored_before) == (stored, False)
            assert selection.extent().row_count == stored
    except StoreFull:
        assert selection.extent().row_count == stored
    finally:
        psutil.Process().rlimit(psutil.RLIMIT_FSIZE, limit)
    assert store._database._connection is not first
    assert store.append(incompressible(rows)).sequences.start == stored + 1
    assert store.append(incompressible(rows), BatchId("s", "0")).was_stored_before
    store.close()
    with duckdb.connect(tmp_path / "events.duckdb", read_only=True) as connection:
        counts = connection.execute("SELECT count(*), count(DISTINCT sequence), max(sequence) FROM events")
        assert counts.fetchone() == (stored + rows,) * 3


def test_a_reserve_is_left_free(tmp_path: Path) -> None:
    DiskSpace(tmp_path, reserve_bytes=0).check()
    with pytest.raises(StoreFull, match=r"disk_space: .* bytes are free, and disk_reserve is"):
        DiskSpace(tmp_path, reserve_bytes=1 << 60).check()
