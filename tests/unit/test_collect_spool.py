"""The spool on disk: what a process leaves behind, whenever it was killed, and what has no space."""

import itertools
import resource
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argus_client import ArgusClientError, InvalidRequest, OutputError, ServerError
from argus_client.collect.counts import Counts
from argus_client.collect.sender import Sender
from argus_client.collect.spool import Spool
from argus_client.sources import open_source
from argus_grpc.v1.event_pb2 import Event, EventType
from argus_grpc.v1.ingest_pb2 import IngestEventsRequest, IngestEventsResponse

MIB = 1 << 20


def events(first: int, count: int, thread_name: str | None = None) -> list[Event]:
    return [
        Event(
            timestamp=number,
            event_type=EventType.EVENT_TYPE_VIRTUAL_THREAD_START,
            source="jvm",
            thread_id=number,
            thread_name=thread_name,
        )
        for number in range(first, first + count)
    ]


def open_spool(folder: Path, max_bytes: int = 64 * MIB, said: list[str] | None = None) -> Spool:
    return Spool(folder, max_bytes, (said if said is not None else []).append)


def fill(spool: Spool, batches: range) -> None:
    """Batch n has n events, and the state {"after": n}."""
    for number in batches:
        spool.append(events(number * 100, number), {"after": number})


def drain(spool: Spool) -> list[IngestEventsRequest]:
    requests = []
    while (batch := spool.first(0)) is not None:
        requests.append(batch.request)
        spool.sent(batch)
    return requests


def sizes(requests: Sequence[IngestEventsRequest]) -> list[int]:
    return [len(request.rows.events) for request in requests]


def test_what_goes_in_comes_out_in_order(tmp_path: Path) -> None:
    with open_spool(tmp_path / "a" / "spool") as spool:
        assert spool.first(0) is None
        assert not spool.state
        fill(spool, range(1, 4))
        assert (spool.waiting, spool.state) == (6, {"after": 3})
        requests = drain(spool)
    assert sizes(requests) == [1, 2, 3]
    assert requests[2].rows.events == events(300, 3)
    assert {request.source for request in requests} == {"jvm"}
    assert len({request.batch_id for request in requests}) == 3


def test_the_next_process_goes_on_under_the_same_batch_ids(tmp_path: Path) -> None:
    with open_spool(tmp_path) as spool:
        fill(spool, range(1, 5))
        first = spool.first(0)
        assert first is not None
        spool.sent(first)
        second = spool.first(0)
        assert second is not None
    with open_spool(tmp_path) as spool:
        assert (spool.waiting, spool.state) == (9, {"after": 4})
        fill(spool, range(5, 6))
        requests = drain(spool)
    assert sizes(requests) == [2, 3, 4, 5]
    assert requests[0] == second.request
    assert first.request.batch_id not in {request.batch_id for request in requests}
    with open_spool(tmp_path) as spool:
        # All is sent: the state stays nevertheless.
        assert (drain(spool), spool.state) == ([], {"after": 5})


def test_a_batch_id_is_never_given_twice_even_if_a_crash_takes_the_last_batches_back(tmp_path: Path) -> None:
    ids = set()
    for run in range(1, 4):
        with open_spool(tmp_path) as spool:
            fill(spool, range(run, run + 2))
            ids |= {request.batch_id for request in drain(spool)}
        for path in tmp_path.glob("*.segment"):
            path.unlink()
    assert len(ids) == 6


@given(st.data())
def test_killed_while_it_wrote(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = tmp_path_factory.mktemp("spool")
    ends = []
    with open_spool(folder) as spool:
        for number in range(1, 5):
            fill(spool, range(number, number + 1))
            ends.append(next(folder.glob("*.segment")).stat().st_size)
    (path,) = folder.glob("*.segment")
    size_bytes = data.draw(st.integers(0, ends[-1]))
    written = path.read_bytes()[:size_bytes]
    path.write_bytes(written + data.draw(st.binary(max_size=20)) if size_bytes < ends[-1] else written)
    whole = sum(end <= size_bytes for end in ends)
    with open_spool(folder) as spool:
        assert spool.state == ({"after": whole} if whole else None)
        fill(spool, range(7, 8))
        assert sizes(drain(spool)) == [*range(1, whole + 1), 7]


def test_beyond_its_bytes_the_oldest_are_dropped_counted_and_said(tmp_path: Path) -> None:
    said: list[str] = []
    with open_spool(tmp_path, MIB, said) as spool:
        for number in range(40):
            spool.append(events(number * 10, 10, thread_name="x" * 10_000), {"after": number})
            assert spool.size_bytes == sum(p.stat().st_size for p in tmp_path.glob("*.segment")) <= MIB
        assert spool.waiting + spool.dropped == 400
        assert 90 <= spool.waiting <= 110
        assert said == ["the spool is full (1,048,576 bytes): its oldest events are dropped"]
        left = [event.thread_id for request in drain(spool) for event in request.rows.events]
        assert left == list(range(spool.dropped, 400))


def test_what_is_stored_after_all_is_not_dropped(tmp_path: Path) -> None:
    with open_spool(tmp_path, MIB) as spool:
        fill(spool, range(7, 8))
        under_way = spool.first(0)
        assert under_way is not None
        for number in range(20):
            spool.append(events(0, 1, thread_name="x" * 100_000), {"after": number})
        dropped = spool.dropped
        spool.sent(under_way)
        assert spool.dropped == dropped - 7
        assert spool.waiting + spool.dropped == 20


def test_a_full_disk_is_said_and_counted_and_heals(tmp_path: Path) -> None:
    said: list[str] = []
    with open_spool(tmp_path, said=said) as spool:
        fill(spool, range(1, 2))
        # So that the first bytes of a batch still fit.
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (spool.size_bytes + 20, limits[1]))
        try:
            fill(spool, range(2, 4))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert (spool.dropped, spool.waiting, spool.state) == (5, 1, {"after": 1})
        assert said == [f"{tmp_path} cannot be written: File too large"]
        fill(spool, range(4, 5))
        assert sizes(drain(spool)) == [1, 4]


def test_two_processes(tmp_path: Path) -> None:
    with (
        open_spool(tmp_path),
        pytest.raises(OutputError, match="is in use by another collector"),
        open_spool(tmp_path),
    ):
        pass


class Server:
    """Answers as it is told to."""

    def __init__(self, *errors: ArgusClientError | None, then: Callable[[], None]) -> None:
        self._answers = itertools.chain(errors, itertools.repeat(None))
        self._left = len(errors)
        self._then = then
        self.requests: list[IngestEventsRequest] = []

    def __call__(self, request: IngestEventsRequest) -> IngestEventsResponse:
        self.requests.append(request)
        error = next(self._answers)
        if len(self.requests) >= self._left:
            self._then()
        if error is not None:
            raise error
        return IngestEventsResponse()


def test_a_batch_that_is_refused_is_set_aside_where_it_can_be_read(tmp_path: Path) -> None:
    said: list[str] = []
    counts = Counts()
    with open_spool(tmp_path, said=said) as spool:
        fill(spool, range(1, 4))
        sender = Sender(spool, lambda request: server(request), counts, said.append)
        server = Server(None, InvalidRequest("source: too long"), None, then=lambda: sender.stop(60))
        sender.run()
        assert (spool.waiting, spool.set_aside, counts.stored) == (0, 2, 4)
    (path,) = tmp_path.glob("refused-*.jsonl")
    assert said == [f"the server refused 2 events (source: too long); they are in {path}"]
    with open_source(path) as source:
        assert list(source) == events(200, 2)


def test_an_outage_is_told_once(tmp_path: Path) -> None:
    said: list[str] = []
    with open_spool(tmp_path, said=said) as spool:
        fill(spool, range(1, 2))
        sender = Sender(spool, lambda request: server(request), Counts(), said.append)
        server = Server(ServerError("one"), ServerError("two"), None, then=lambda: sender.stop(60))
        sender.run()
        assert len({request.batch_id for request in server.requests}) == 1
        assert spool.waiting == 0
    assert said == [f"one; events wait in {tmp_path}", "the server takes events again"]
