"""More than the server takes at a time: refused by name and with a time, before memory grows."""

import gc
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from contextvars import copy_context
from pathlib import Path

import duckdb
import grpc
import psutil
import pytest

from argus_grpc.access import Principal
from argus_grpc.calls import Call, begin
from argus_grpc.errors import LimitReached
from argus_grpc.ingest.admission import Admission, AdmittedCall
from argus_grpc.v1.ingest_pb2_grpc import IngestServiceStub
from tests.conftest import RunningServer
from tests.ingesting import NO_RETRIES, exhausted, numbered_batch
from tests.processes import peak_bytes, server_process

pytestmark = pytest.mark.duckdb

MIB = 1024 * 1024


def test_calls_and_bytes_are_bounded_and_given_back() -> None:
    admission = Admission(max_calls=3, max_bytes=100)
    with admission.call() as first, admission.call() as second:
        first.received(60)
        second.received(40)
        with pytest.raises(LimitReached, match="ingest_memory: the limit of 100 bytes"), admission.call():
            pass
        with pytest.raises(LimitReached, match="ingest_memory"):
            second.hold(41)
        second.received(20)
        with admission.call() as third:
            third.received(10)
            with pytest.raises(LimitReached, match="max_ingests: the limit of 3 batches"), admission.call():
                pass
    with admission.call() as alone:
        alone.received(100)


def test_one_that_is_larger_than_all_has_its_turn_alone() -> None:
    admission = Admission(max_calls=3, max_bytes=100)
    with admission.call() as large:
        large.received(1_000)
        large.hold(5_000)
        with pytest.raises(LimitReached, match="ingest_memory"), admission.call():
            pass
    with admission.call() as small:
        small.received(1)
        with pytest.raises(LimitReached, match="ingest_memory"), admission.call() as large:
            large.received(1_000)


def test_callers_share_evenly_where_there_are_several() -> None:
    admission = Admission(max_calls=4, max_bytes=100)
    with ExitStack() as held:

        def enter(name: str) -> AdmittedCall:
            begin(Call("id", "/m", "peer", 0.0, Principal(name, "token", "writer")))
            return held.enter_context(admission.call())

        def call_of(name: str) -> AdmittedCall:
            return copy_context().run(enter, name)

        calls = [call_of("greedy") for _ in range(4)]
        with pytest.raises(LimitReached, match=r"max_ingests: the limit of 2 batches at once \(4, shared"):
            call_of("small")
        held.close()
        # The one that was refused has its share when it comes again.
        calls = [call_of("greedy") for _ in range(2)]
        with pytest.raises(LimitReached, match="max_ingests"):
            call_of("greedy")
        calls.append(call_of("small"))
        calls[0].received(30)
        calls[2].received(40)
        with pytest.raises(LimitReached, match="ingest_memory: the limit of 50 bytes"):
            calls[1].received(30)
        calls[1].received(20)
        # A larger one than its share is let in, alone.
        held.close()
        call_of("small").received(90)


@pytest.mark.parametrize(
    ("max_calls", "max_bytes", "limit"), [(4, 1_000, "max_ingests"), (100, 100, "ingest_memory")]
)
def test_those_that_are_refused_come_again_as_fast_as_they_are_let_in(
    max_calls: int, max_bytes: int, limit: str
) -> None:
    now_s = 0.0
    admission = Admission(max_calls, max_bytes, clock=lambda: now_s)

    def refused_for_s() -> float:
        with pytest.raises(LimitReached, match=limit) as refused, admission.call():
            pass
        return refused.value.retry_after_s

    def fill(held: ExitStack) -> None:
        for _ in range(4):
            held.enter_context(admission.call()).received(25)

    with ExitStack() as held:
        fill(held)
        now_s = 2.0
    with ExitStack() as held:
        fill(held)
        # Four calls took 2 s.
        assert [refused_for_s() for _ in range(5)] == [2.0, 2.5, 3.0, 3.5, 4.0]
        now_s = 3.0
        assert [refused_for_s() for _ in range(2)] == [3.5, 4.0]
        # However many come, none is sent away for longer than this.
        assert max(refused_for_s() for _ in range(100)) == 10.0
    # Nobody has to wait for those that were to be back by now.
    now_s = 30.0
    with ExitStack() as held:
        fill(held)
        assert refused_for_s() == 1.0


def test_how_long_calls_take_is_told_by_those_that_are_stored() -> None:
    now_s = 0.0
    admission = Admission(max_calls=2, max_bytes=1_000, clock=lambda: now_s)
    with admission.call() as stored:
        # Its sender was slow.
        now_s = 50.0
        stored.received(1)
        now_s = 51.0
    with suppress(ZeroDivisionError), admission.call():
        now_s = 90.0
        raise ZeroDivisionError
    with admission.call(), admission.call():
        with pytest.raises(LimitReached) as refused, admission.call():
            pass
        assert refused.value.retry_after_s == 1.0


def test_room_is_not_kept_for_long_for_who_does_not_come_again() -> None:
    now_s = 0.0
    admission = Admission(max_calls=4, max_bytes=1_000, clock=lambda: now_s)

    def fill(name: str) -> int:
        """How many places a caller can have at once."""

        def enter() -> int:
            begin(Call("id", "/m", "peer", 0.0, Principal(name, "token", "writer")))
            with ExitStack() as held:
                for place in range(5):
                    try:
                        held.enter_context(admission.call())
                    except LimitReached:
                        return place
            return 5

        return copy_context().run(enter)

    assert fill("gone") == 4
    # It was told to come again at once, in 0.1 s.
    now_s = 1.0
    assert fill("other") == 2
    now_s = 1.2
    assert fill("other") == 4


def test_batches_that_are_refused_leave_no_memory_taken(server: RunningServer) -> None:
    """Not even until garbage is looked for."""
    batch = numbered_batch("s", 1, 30, "x" * 100_000)
    batch.batch_id = ""

    def refuse(times: int) -> int:
        for _ in range(times):
            with pytest.raises(grpc.RpcError, match="batch_id"):
                server.ingests.IngestEvents(batch)
        return int(psutil.Process().memory_info().rss)

    refuse(5)
    gc.collect()
    gc.disable()
    try:
        before = refuse(1)
        growth = refuse(40) - before
    finally:
        gc.enable()
    assert growth < 10 * batch.ByteSize()


class Flood:
    """Clients that each send one batch after the other, and again those that were refused, with their ids."""

    def __init__(self, address: str, clients: int, batches: int, text: str, rows: int) -> None:
        self._address = address
        self._clients = clients
        self._batches = batches
        self._text = text
        self._rows = rows
        self._lock = threading.Lock()
        self.refused_by: set[str] = set()
        self.refusals = 0

    def send_all(self) -> None:
        with ThreadPoolExecutor(self._clients) as threads:
            list(threads.map(self._send_some, range(self._clients)))

    def _send_some(self, client: int) -> None:
        with grpc.insecure_channel(self._address, options=NO_RETRIES) as channel:
            stub = IngestServiceStub(channel)
            for number in range(self._batches):
                batch = numbered_batch(f"client-{client}", number, self._rows, self._text)
                while (retry_after_s := self._refused(stub, batch)) is not None:
                    time.sleep(retry_after_s)

    def _refused(self, stub: IngestServiceStub, batch: object) -> float | None:
        try:
            stub.IngestEvents(batch)  # type: ignore[arg-type]
        except grpc.RpcError as error:
            limit, retry_after_s = exhausted(error)
            with self._lock:
                self.refused_by.add(limit)
                self.refusals += 1
            return retry_after_s
        return None


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_a_flood_is_refused_before_memory_grows_and_stored_in_the_end(tmp_path: Path) -> None:
    database = tmp_path / "events.duckdb"
    clients, batches, rows = 48, 2, 50
    flags = ("--ingest-memory", "8MiB", "--max-ingests", "16")
    with server_process(database, *flags) as server:
        # What DuckDB takes for as many bytes that come calmly.
        Flood(server.address, 2, clients * batches // 2, "x" * 20_000, rows).send_all()
        status = Path(f"/proc/{server.process.pid}/status")
        before = peak_bytes(status)
        flood = Flood(server.address, clients, batches, "x" * 20_000, rows)
        flood.send_all()
        growth = peak_bytes(status) - before
        assert server.stop() == 0
    assert flood.refused_by <= {"ingest_memory", "max_ingests"}
    assert flood.refusals
    # A batch that is received, decoded and committed takes several times its size, which is 1 MiB.
    # What gRPC keeps for a connection comes to some.
    assert growth <= clients * 4 * MIB
    with duckdb.connect(database, read_only=True) as connection:
        counts = connection.execute(
            "SELECT count(*), count(DISTINCT (source, thread_id, duration_ns)) FROM events"
        ).fetchone()
    # The calm clients have names of the others, and only more batches.
    assert counts == ((clients * batches + 2 * (clients * batches // 2 - batches)) * rows,) * 2
