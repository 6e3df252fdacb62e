"""A batch with an id is stored once, however often it is sent."""

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
import grpc
import pyarrow as pa
import pytest
from google.rpc.error_details_pb2 import BadRequest
from grpc_status import rpc_status
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from argus_grpc.store import BatchId, batch_ids
from argus_grpc.store.batch_ids import BatchIds
from argus_grpc.store.database import Database
from argus_grpc.v1.event_pb2 import Event, Events, EventType
from argus_grpc.v1.ingest_pb2 import IngestEventsRequest, IngestEventsResponse
from argus_grpc.v1.ingest_pb2_grpc import IngestServiceStub
from tests.conftest import RunningServer, start_server

pytestmark = pytest.mark.duckdb


def request(
    source: str = "a",
    batch_id: str = "1",
    count: int = 3,
    events: Sequence[Event] | None = None,
    arrow: bytes | None = None,
) -> IngestEventsRequest:
    if arrow is not None:
        return IngestEventsRequest(source=source, batch_id=batch_id, arrow=arrow)
    made = [
        Event(
            timestamp=i,
            event_type=EventType.EVENT_TYPE_GC_PAUSE,
            source="jvm",
            gc_name=f"{source}/{batch_id}",
        )
        for i in range(count)
    ]
    return IngestEventsRequest(source=source, batch_id=batch_id, rows=Events(events=events or made))


def sequences(answer: IngestEventsResponse) -> tuple[int, int, bool]:
    return answer.first_sequence, answer.last_sequence, answer.was_stored_before


def refused_field(server: RunningServer, refused: IngestEventsRequest) -> tuple[str, str]:
    with pytest.raises(grpc.RpcError) as refusal:
        server.ingests.IngestEvents(refused)
    assert refusal.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    bad_request = BadRequest()
    assert any(detail.Unpack(bad_request) for detail in rpc_status.from_call(refusal.value).details)
    (violation,) = bad_request.field_violations
    return violation.field, violation.description


def test_a_batch_sent_again_is_answered_as_the_first_time(server: RunningServer) -> None:
    assert sequences(server.ingests.IngestEvents(request())) == (1, 3, False)
    assert sequences(server.ingests.IngestEvents(request(batch_id="2"))) == (4, 6, False)
    assert sequences(server.ingests.IngestEvents(request(source="b"))) == (7, 9, False)
    assert sequences(server.ingests.IngestEvents(request())) == (1, 3, True)
    assert sequences(server.ingests.IngestEvents(request(source="b"))) == (7, 9, True)
    assert server.sql("SELECT count(*) FROM events") == [(9,)]


def test_it_may_come_again_in_the_other_form(server: RunningServer) -> None:
    server.ingests.IngestEvents(request())
    table = pa.table(
        {"timestamp": pa.array([0, 1, 2]), "event_type": ["GC_PAUSE"] * 3, "source": ["jvm"] * 3}
    )
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    arrow = request(arrow=sink.getvalue().to_pybytes())
    assert sequences(server.ingests.IngestEvents(arrow)) == (1, 3, True)


def test_batches_without_an_id_are_stored_each_time(server: RunningServer) -> None:
    for first in (1, 4):
        assert sequences(server.ingests.IngestEvents(request(source="", batch_id=""))) == (
            first,
            first + 2,
            False,
        )


@pytest.mark.parametrize(
    ("refused", "field", "said"),
    [
        (
            request(batch_id="", count=1),
            "batch_id",
            "unset is not allowed; allowed: a value, since source is set",
        ),
        (
            request(source="", count=1),
            "source",
            "unset is not allowed; allowed: a value, since batch_id is set",
        ),
        (request(source="s" * 1_001), "source", "at most 1000 characters"),
        (request(batch_id="b" * 201), "batch_id", "at most 200 characters"),
        (request(count=4), "batch_id", "it was used for 3 events"),
    ],
)
def test_ids_that_do_not_fit_are_refused_by_name(
    server: RunningServer, refused: IngestEventsRequest, field: str, said: str
) -> None:
    server.ingests.IngestEvents(request())
    named, description = refused_field(server, refused)
    assert named == field
    assert said in description
    assert server.sql("SELECT count(*) FROM events") == [(3,)]


def test_the_longest_ids_fit(server: RunningServer) -> None:
    longest = request(source="ß" * 1_000, batch_id="線" * 200)
    assert not server.ingests.IngestEvents(longest).was_stored_before
    assert server.ingests.IngestEvents(longest).was_stored_before


def test_a_refused_batch_can_be_sent_again_mended(server: RunningServer) -> None:
    broken = request(events=[*request().rows.events[:2], Event(timestamp=1, source="jvm")])
    assert refused_field(server, broken)[0] == "rows.events[2].event_type"
    assert sequences(server.ingests.IngestEvents(request())) == (1, 3, False)


def test_of_the_same_batch_from_many_at_once_one_is_stored(server: RunningServer) -> None:
    calls = 48
    begin = threading.Barrier(calls)

    def send(number: int) -> tuple[int, int, bool]:
        begin.wait(timeout=60)
        return sequences(server.ingests.IngestEvents(request(batch_id=str(number % 3))))

    with ThreadPoolExecutor(calls) as threads:
        answers = list(threads.map(send, range(calls)))
    for batch in range(3):
        of_batch = answers[batch::3]
        assert len({answer[:2] for answer in of_batch}) == 1
        assert sorted(answer[2] for answer in of_batch) == [False] + [True] * (calls // 3 - 1)
    assert server.sql("SELECT count(*), count(DISTINCT gc_name) FROM events") == [(9, 3)]


def test_a_broken_batch_among_many_small_ones_is_refused_alone(server: RunningServer) -> None:
    calls = 24
    begin = threading.Barrier(calls)

    def send(number: int) -> str:
        event = Event(
            timestamp=1, event_type=EventType.EVENT_TYPE_GC_PAUSE, source="jvm", thread_id=number % 8
        )
        sent = request(batch_id=str(number), events=[*request().rows.events[: number % 3], event])
        begin.wait(timeout=60)
        if number % 8:
            return str(server.ingests.IngestEvents(sent).last_sequence)
        return refused_field(server, sent)[0]

    with ThreadPoolExecutor(calls) as threads:
        answers = list(threads.map(send, range(calls)))
    assert [answers[number] for number in (0, 8, 16)] == [f"rows.events[{i}].thread_id" for i in (0, 2, 1)]
    stored = server.sql("SELECT thread_id, sequence::VARCHAR FROM events WHERE thread_id IS NOT NULL")
    assert sorted(stored) == sorted((n % 8, answers[n]) for n in range(calls) if n % 8)


def test_ids_outlive_a_restart_for_their_lifetime(tmp_path: Path) -> None:
    for server in start_server(tmp_path):
        server.ingests.IngestEvents(request())
        server.ingests.IngestEvents(request(batch_id="old"))
    with duckdb.connect(tmp_path / "events.duckdb") as database:
        database.execute(
            "UPDATE argus_batches SET committed_at_s = committed_at_s - 8 * 86400 WHERE batch_id = 'old'"
        )
    for server in start_server(tmp_path):
        assert sequences(server.ingests.IngestEvents(request())) == (1, 3, True)
    for server in start_server(tmp_path, batch_id_lifetime_s=60):
        assert sequences(server.ingests.IngestEvents(request())) == (1, 3, True)


@pytest.fixture
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_ids, "SEGMENT_IDS", 8)
    monkeypatch.setattr(batch_ids, "MAX_SEGMENTS", 4)


@pytest.fixture
def database() -> Iterator[Database]:
    """In memory: what is committed need not outlive anything but the object that knows it."""
    database = Database(duckdb.connect)
    with database.cursor() as cursor:
        cursor.execute(batch_ids.CREATE_TABLE)
    yield database
    database.close()


@pytest.mark.usefixtures("small_segments")
# Not shrunk when it fails: that takes minutes, and an example is as short as it should be.
@settings(
    max_examples=30,
    deadline=None,
    phases=[phase for phase in Phase if phase is not Phase.shrink],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    groups=st.lists(
        st.tuples(st.sets(st.integers(0, 60), min_size=1, max_size=9), st.integers(0, 300)), max_size=12
    ),
    restart_every=st.integers(1, 6),
)
@example(
    groups=[(set(range(9)), 0), ({8}, 300), ({8}, 300), ({8}, 1), ({8}, 0), ({8}, 0), ({8}, 0)],
    restart_every=6,
)
def test_ids_are_known_as_a_dict_knows_them(
    database: Database, groups: list[tuple[set[int], int]], restart_every: int
) -> None:
    """Ids that are young enough and not too many are known; those that are not may be."""
    with database.cursor() as cursor:
        cursor.execute("DELETE FROM argus_batches")
    lifetime_s, sequence = 600, 1
    clock_s = [1_000_000]
    ids = BatchIds(database, lifetime_s, lambda: clock_s[0])
    stored: dict[BatchId, tuple[range, int]] = {}
    for number, (numbers, later_s) in enumerate(groups):
        clock_s[0] += later_s
        now_s = clock_s[0]
        if number % restart_every == 0:
            ids = BatchIds(database, lifetime_s, lambda: clock_s[0])
        wanted = [BatchId("s", str(n)) for n in numbers]
        with database.cursor() as cursor:
            known = ids.find(cursor, wanted)
            newest = sorted(stored.items(), key=lambda item: item[1][0].start)[-32 + 9 :]
            for id_, (at, stored_s) in newest:
                if id_ in wanted and stored_s >= now_s - lifetime_s:
                    assert known[id_] == at
            for id_, at in known.items():
                assert stored[id_][0] == at
            new = {}
            for id_ in wanted:
                if id_ not in known:
                    new[id_] = range(sequence, sequence + 5)
                    sequence += 5
            stored.update({id_: (at, now_s) for id_, at in new.items()})
            rows = ids.to_rows(new)
            ids.insert(cursor, rows)
            ids.committed(rows)
            ids.remove_old(cursor)


def test_a_call_given_up_by_its_client_is_stored_whole_or_not_at_all(server: RunningServer) -> None:
    with grpc.insecure_channel(server.address) as channel:
        calls = [
            IngestServiceStub(channel).IngestEvents.future(request(batch_id=str(number), count=50))
            for number in range(60)
        ]
        for call in calls:
            call.cancel()
    for number in range(60):
        server.ingests.IngestEvents(request(batch_id=str(number), count=50))
    counts = server.sql("SELECT gc_name, count(*) FROM events GROUP BY gc_name")
    assert sorted(counts) == sorted((f"a/{number}", 50) for number in range(60))
