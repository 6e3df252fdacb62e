"""What a role may have at once, a minute and an hour; and turns, where all share what there is."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import QuotaFailure, RetryInfo
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status

from argus_client import ExportClient
from argus_client.errors import ArgusClientError
from argus_grpc.access import Principal
from argus_grpc.calls import Call, begin
from argus_grpc.interceptors.export_queue import MAX_PLANS
from argus_grpc.store.duckdb_store import READER_THREADS
from argus_grpc.v1.aggregate_pb2 import GroupBy
from argus_grpc.v1.event_pb2 import Event, Events, EventType
from argus_grpc.v1.export_pb2 import (
    ListColumnsRequest,
    PlanExportRequest,
    StreamAggregatesRequest,
    StreamEventsRequest,
)
from argus_grpc.v1.ingest_pb2 import IngestEventsRequest
from tests.conftest import RunningServer, start_server
from tests.identities import bearer, make_token
from tests.ingesting import exhausted
from tests.refusals import PATIENCE_S, outcome_of, wait_until

FOLLOWED = StreamEventsRequest(follow=True)
POLICY = """
[roles.patient]
rpcs = "all"
limits.requests_per_minute = 2
[roles.single]
rpcs = "all"
limits.concurrent_exports = 2
[roles.sparing]
rpcs = "all"
limits.rows_per_hour = 1000
[roles.roomy]
rpcs = "all"
limits.rows_per_hour = 50000
"""


class Caller:
    """Somebody with a token, and calls of theirs."""

    def __init__(self, server: RunningServer, token: str) -> None:
        self._server = server
        self.token = token

    def list_columns(self) -> None:
        self._server.exports.ListColumns(ListColumnsRequest(), metadata=bearer(self.token))

    def ingest(self, count: int) -> None:
        events = [
            Event(timestamp=n, event_type=EventType.EVENT_TYPE_GC_PAUSE, source="s") for n in range(count)
        ]
        request = IngestEventsRequest(rows=Events(events=events))
        self._server.ingests.IngestEvents(request, metadata=bearer(self.token))

    def stream(self, request: StreamEventsRequest) -> Any:
        return self._server.exports.StreamEvents(request, metadata=bearer(self.token))

    def export(self, **asked: Any) -> list[Any]:
        return list(self.stream(StreamEventsRequest(**asked)))

    def aggregate(self, **asked: Any) -> list[Any]:
        request = StreamAggregatesRequest(**asked)
        return list(self._server.exports.StreamAggregates(request, metadata=bearer(self.token)))

    def follow(self) -> Any:
        """A follower, which keeps its slot until it is called off."""
        stream = self.stream(FOLLOWED)
        assert next(stream).HasField("header")
        return stream


class World:
    """A server with a policy, and callers by their names and roles."""

    def __init__(self, server: RunningServer, tokens: dict[str, str]) -> None:
        self.server = server
        self._tokens = tokens

    def caller(self, name: str) -> Caller:
        return Caller(self.server, self._tokens[name])

    def wait_for_waiting(self, count: int) -> None:
        wait_until(lambda: self.server.server._queue.waiting == count)


def start(folder: Path, **settings: Any) -> Iterator[World]:
    policy, tokens = folder / "policy.toml", folder / "tokens.json"
    policy.write_text(POLICY)
    roles = {"greedy": "admin", "small": "admin", "other": "admin"}
    roles |= {name: name for name in ("patient", "single", "sparing", "roomy")}
    secrets = {name: make_token(tokens, name, role) for name, role in roles.items()}
    for server in start_server(folder, policy=policy, tokens=tokens, **settings):
        yield World(server, secrets)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    yield from start(tmp_path)


@pytest.fixture
def one_slot(tmp_path: Path) -> Iterator[World]:
    yield from start(tmp_path, max_exports=1, max_queued=3, queue_timeout_s=10 * PATIENCE_S)


def refusal(call: Any) -> tuple[str, float]:
    """The limit that it names, and when to come again."""
    with pytest.raises(grpc.RpcError) as refused:
        call()
    assert outcome_of(refused.value) == "RESOURCE_EXHAUSTED LIMIT_REACHED"
    assert exhausted(refused.value)[0] in str(refused.value.details())
    return exhausted(refused.value)


def limit_of(call: Callable[[], object]) -> str:
    """The limit that refuses it; empty if none does."""
    try:
        call()
    except grpc.RpcError as error:
        return exhausted(error)[0]
    return ""


def test_requests_beyond_a_minutes_are_refused_with_the_limit_and_a_time(world: World) -> None:
    patient, health = world.caller("patient"), health_pb2_grpc.HealthStub(world.server.channel)
    for _ in range(2):
        patient.list_columns()
    for call in (patient.list_columns, patient.export, lambda: patient.ingest(1), patient.aggregate):
        limit, retry_after_s = refusal(call)
        assert limit == "requests_per_minute"
        assert 0 < retry_after_s <= 30
    health.Check(health_pb2.HealthCheckRequest())
    for _ in range(3):
        world.caller("small").list_columns()


def test_exports_beyond_a_roles_are_refused_until_one_ends(world: World) -> None:
    single = world.caller("single")
    streams = [single.follow(), single.follow()]
    assert refusal(single.export)[0] == "concurrent_exports"
    assert refusal(single.aggregate)[0] == "concurrent_exports"
    assert world.caller("small").export()
    streams[0].cancel()
    wait_until(lambda: limit_of(single.export) != "concurrent_exports")
    streams[1].cancel()


def test_the_client_waits_as_it_is_told_and_says_so(world: World) -> None:
    single = world.caller("single")
    streams = [single.follow(), single.follow()]
    told: list[tuple[int, float, ArgusClientError]] = []

    def on_retry(attempt: int, wait_s: float, error: ArgusClientError) -> None:
        told.append((attempt, wait_s, error))
        for stream in streams:
            stream.cancel()

    with ExportClient(world.server.address, token=single.token) as client:
        assert client.export(on_retry=on_retry).header.total_events == 0
    assert told[0][0] == 1
    assert told[0][1] >= 1
    assert (
        "concurrent_exports: the limit of 2 exports at once of single is reached; try again in 1.0 s"
        in str(told[0][2])
    )


def test_an_export_of_more_rows_than_an_hours_never_begins(world: World) -> None:
    world.caller("small").ingest(1_001)
    sparing = world.caller("sparing")
    with pytest.raises(grpc.RpcError) as refused:
        sparing.export()
    assert outcome_of(refused.value) == "RESOURCE_EXHAUSTED TOO_LARGE"
    details, quota = rpc_status.from_call(refused.value).details, QuotaFailure()
    assert any(detail.Unpack(quota) for detail in details)
    assert quota.violations[0].subject == "rows_per_hour"
    assert not any(detail.Is(RetryInfo.DESCRIPTOR) for detail in details)
    assert "1001 rows are more than the limit of 1000 rows an hour" in str(refused.value.details())

    # What is refused costs nothing, and the other ways to the rows count as well.
    assert sparing.export(limit=700)[-1].summary.total_rows == 700
    limit, retry_after_s = refusal(lambda: sparing.export(limit=400))
    assert limit == "rows_per_hour"
    assert 200 < retry_after_s <= 360
    by_time = [GroupBy(time_bucket_ns=1)]
    assert refusal(lambda: sparing.aggregate(group_by=by_time, limit=400))[0] == "rows_per_hour"
    assert sparing.aggregate(group_by=by_time, limit=300)[-1].summary.total_rows == 300
    assert refusal(lambda: sparing.export(limit=100))[0] == "rows_per_hour"
    assert world.caller("small").export()[-1].summary.total_rows == 1_001


def test_an_export_that_goes_on_counts_only_the_rest(world: World) -> None:
    world.caller("small").ingest(40_000)
    roomy = world.caller("roomy")
    stream = roomy.stream(StreamEventsRequest(max_batch_bytes=16 * 1024))
    rows, token = 0, next(stream).header.resume_token
    for _ in range(3):
        batch = next(stream).batch
        rows, token = rows + batch.row_count, batch.resume_token
    stream.cancel()
    # What was not sent is free again, as soon as the server knows that nobody wants it.
    rest: list[Any] = []
    wait_until(lambda: limit_of(lambda: rest.extend(roomy.export(resume_token=token))) != "rows_per_hour")
    assert rest[0].header.first_row == rows
    assert rest[-1].summary.total_rows == 40_000


def test_a_follower_ends_when_none_of_an_hours_rows_is_left(world: World) -> None:
    sparing, small = world.caller("sparing"), world.caller("small")
    small.ingest(400)
    stream = sparing.follow()
    assert next(stream).batch.row_count == 400
    assert next(stream).HasField("progress")
    small.ingest(700)
    while not (message := next(stream)).HasField("batch"):
        pass
    assert message.batch.row_count == 700
    small.ingest(1)
    assert refusal(lambda: list(stream))[0] == "rows_per_hour"
    # It can be gone on with once there is room, and is refused by the same name until then.
    token = message.batch.resume_token
    assert refusal(lambda: sparing.export(resume_token=token, follow=True))[0] == "rows_per_hour"


def test_turns_go_round_robin_over_callers(one_slot: World) -> None:
    """Followers, so that each turn lasts until the test ends it."""
    began: SimpleQueue[tuple[str, Any]] = SimpleQueue()

    def wait_for_turn(name: str) -> None:
        stream = one_slot.caller(name).follow()
        began.put((name, stream))

    running = one_slot.caller("greedy").follow()
    with ThreadPoolExecutor(4) as threads:
        for count, name in enumerate(("greedy", "greedy", "small"), 1):
            threads.submit(wait_for_turn, name)
            one_slot.wait_for_waiting(count)
        order = []
        for _ in range(3):
            running.cancel()
            name, running = began.get(timeout=PATIENCE_S)
            order.append(name)
        running.cancel()
    assert order == ["greedy", "small", "greedy"]


def test_a_full_queue_has_room_for_another_callers_first(one_slot: World) -> None:
    running = one_slot.caller("greedy").follow()
    waiting = []
    for count in range(1, 4):
        waiting.append(one_slot.caller("greedy").stream(FOLLOWED))
        one_slot.wait_for_waiting(count)
    assert refusal(one_slot.caller("greedy").export)[0] == "max_queued"
    small = one_slot.caller("small").stream(StreamEventsRequest())
    # The newest of the one that has the most gives way.
    assert refusal(lambda: next(waiting[2]))[0] == "max_queued"
    waiting[0].cancel()
    waiting[1].cancel()
    one_slot.wait_for_waiting(1)
    running.cancel()
    assert list(small)[-1].HasField("summary")


def test_who_is_called_off_while_waiting_has_no_turn(one_slot: World) -> None:
    running = one_slot.caller("greedy").follow()
    waiting = one_slot.caller("small").stream(FOLLOWED)
    one_slot.wait_for_waiting(1)
    waiting.cancel()
    one_slot.wait_for_waiting(0)
    running.cancel()
    assert one_slot.caller("other").export()


def test_a_wait_in_vain_ends_with_the_limit_and_a_time(tmp_path: Path) -> None:
    for world in start(tmp_path, max_exports=1, queue_timeout_s=0.05):
        running = world.caller("greedy").follow()
        assert refusal(world.caller("small").export) == ("max_exports", 1.0)
        running.cancel()


def test_a_server_that_stops_ends_those_that_wait_at_once(tmp_path: Path) -> None:
    for world in start(tmp_path, max_exports=1, queue_timeout_s=10 * PATIENCE_S):
        running = world.caller("greedy").follow()
        waiting = world.caller("small").stream(FOLLOWED)
        world.wait_for_waiting(1)
        stopping = threading.Thread(target=world.server.server.close)
        stopping.start()
        for stream in (waiting, running):
            with pytest.raises(grpc.RpcError) as ending:
                list(stream)
            assert outcome_of(ending.value) == "UNAVAILABLE STORE_UNAVAILABLE"
        stopping.join(PATIENCE_S)


def test_plans_have_a_queue_of_their_own(one_slot: World) -> None:
    """One caller's plans, which wait for reads, take neither the slots of exports nor all that plans have."""
    one_slot.caller("small").ingest(10)
    release = threading.Event()
    readers = one_slot.server.server._store._readers

    def read_much() -> None:
        begin(Call("id", "/m", "peer", 0.0, Principal("greedy", "token", "admin")))
        for _ in range(READER_THREADS):
            readers.submit(release.wait, PATIENCE_S)

    reading = threading.Thread(target=read_much)
    reading.start()
    reading.join()
    stub, request = one_slot.server.exports, PlanExportRequest()
    metadata = bearer(one_slot.caller("greedy").token)
    plans = [stub.PlanExport.future(request, metadata=metadata) for _ in range(MAX_PLANS + 3)]
    wait_until(lambda: one_slot.server.server._plans.waiting == 3)
    limit, _ = refusal(lambda: stub.PlanExport(request, metadata=metadata))
    assert limit == "max_queued"
    assert one_slot.caller("small").export()[-1].summary.total_rows == 10
    # It takes the place of the newest of the other's in the queue.
    small = stub.PlanExport.future(request, metadata=bearer(one_slot.caller("small").token))
    wait_until(lambda: any(plan.done() for plan in plans))
    release.set()
    assert small.result(PATIENCE_S).total_events == 10
    assert sum(plan.exception(PATIENCE_S) is None for plan in plans) == MAX_PLANS + 2


def test_reads_of_one_caller_do_not_stand_before_anothers(world: World) -> None:
    small, release = world.caller("small"), threading.Event()
    small.ingest(3_000)
    readers = world.server.server._store._readers

    def read_much() -> None:
        begin(Call("id", "/m", "peer", 0.0, Principal("greedy", "token", "admin")))
        for _ in range(50 * READER_THREADS):
            readers.submit(release.wait, PATIENCE_S)

    reading = threading.Thread(target=read_much)
    reading.start()
    reading.join()
    try:
        assert small.export()[-1].summary.total_rows == 3_000
        assert not release.is_set()
    finally:
        release.set()
