"""What callers can hold by calls that they begin and leave: no thread before it is known who they are, and
then not for long, nor any right that they had when they began."""

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from argus_grpc import server as server_module
from argus_grpc.access import ANONYMOUS
from argus_grpc.access.tokens_file import revoke_tokens
from argus_grpc.interceptors.call import (
    HEALTH_CHECK,
    HEALTH_WATCH,
    INGEST_METHOD,
    PLAN_METHOD,
    REFLECTION_METHOD,
    RPC_NAMES,
)
from argus_grpc.interceptors.export_queue import MAX_PLANS
from argus_grpc.interceptors.reflection_bound import MAX_REFLECTIONS
from argus_grpc.v1.event_pb2 import Event, EventType
from argus_grpc.v1.export_pb2 import ListColumnsRequest, PlanExportRequest
from argus_grpc.v1.ingest_pb2 import IngestEventsRequest
from tests.conftest import RunningServer, start_server
from tests.identities import bearer, make_token
from tests.refusals import PATIENCE_S, outcome, outcome_of, wait_until

pytestmark = pytest.mark.duckdb

FEW: dict[str, Any] = {"max_exports": 1, "max_ingests": 1, "max_queued": 1}
THREADS = 36
"""That so many have."""
MANY = 50
LIST_COLUMNS = next(method for method, name in RPC_NAMES.items() if name == "ListColumns")
REFUSED = "UNAUTHENTICATED NOT_AUTHENTICATED"


@pytest.fixture
def guarded(tmp_path: Path, tokens: Path) -> Iterator[RunningServer]:
    """A server that knows its callers."""
    yield from start_server(tmp_path, tokens=tokens, **FEW)


@pytest.fixture
def impatient(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningServer]:
    """A server that does not wait for long, for whoever it is."""
    monkeypatch.setattr(server_module, "REQUEST_TIMEOUT_S", 1.0)
    monkeypatch.setattr(server_module, "REFLECTION_IDLE_S", 2.0)
    yield from start_server(tmp_path, **FEW)


class Held:
    """Calls of which only the headers are sent, until send() gives them their message."""

    def __init__(self) -> None:
        self._may_send = threading.Event()
        self._message = b""
        self.calls: list[Any] = []

    def begin(self, channel: grpc.Channel, method: str, metadata: Any = None) -> Any:
        begin: Any = channel.stream_stream(method)
        call = begin(self._messages(), metadata=metadata, timeout=PATIENCE_S)
        self.calls.append(call)
        return call

    def send(self, message: bytes = b"") -> None:
        self._message = message
        self._may_send.set()

    def _messages(self) -> Iterator[bytes]:
        self._may_send.wait()
        yield self._message


@contextmanager
def held(server: RunningServer, methods: list[str], metadata: Any = None) -> Iterator[Held]:
    """So many calls of each method, on a connection for each method: one has no more than threads."""
    with ExitStack() as stack:
        calls = Held()
        stack.callback(calls.send)
        for method in methods:
            options = [("grpc.use_local_subchannel_pool", 1)]
            channel = stack.enter_context(grpc.insecure_channel(server.address, options))
            for _ in range(MANY // 2):
                calls.begin(channel, method, metadata)
        yield calls


def waits(server: RunningServer) -> int:
    return len(server.server._watchdog._latest_s)


def check(server: RunningServer) -> str:
    stub = health_pb2_grpc.HealthStub(server.channel)
    return outcome(lambda: stub.Check(health_pb2.HealthCheckRequest(), timeout=PATIENCE_S))


def ended(call: Any) -> str:
    return outcome(lambda: list(call))


def known_as(server: RunningServer, tokens: Path, name: str) -> Any:
    metadata = bearer(make_token(tokens, name, "admin"))
    wait_until(lambda: outcome(lambda: list_columns_as(server, metadata)) == "OK")
    return metadata


def revoke(server: RunningServer, tokens: Path, name: str, metadata: Any) -> None:
    revoke_tokens(tokens, name)
    wait_until(lambda: outcome(lambda: list_columns_as(server, metadata)) == REFUSED)


def list_columns_as(server: RunningServer, metadata: Any) -> object:
    return server.exports.ListColumns(ListColumnsRequest(), metadata=metadata, timeout=PATIENCE_S)


def test_strangers_hold_no_thread_by_headers(guarded: RunningServer, tokens: Path) -> None:
    known = known_as(guarded, tokens, "ann")
    with held(guarded, sorted(RPC_NAMES)) as calls:
        assert {ended(call) for call in calls.calls} == {REFUSED}

    with held(guarded, [HEALTH_CHECK, HEALTH_WATCH] * 2) as calls:
        wait_until(lambda: waits(guarded) == len(calls.calls))
        assert list_columns_as(guarded, known)
        assert check(guarded) == "OK"
        calls.send()
        assert {len([next(call)]) for call in calls.calls} == {1}


def test_what_is_held_is_ended(impatient: RunningServer) -> None:
    with held(impatient, [LIST_COLUMNS, LIST_COLUMNS, INGEST_METHOD, PLAN_METHOD]) as calls:
        # All threads are taken, by callers who may.
        wait_until(lambda: waits(impatient) == THREADS)
        assert check(impatient) == "OK"
        # More batches than may come at once are refused.
        endings = {ended(call) for call in calls.calls}
        assert endings == {"UNAVAILABLE", "RESOURCE_EXHAUSTED LIMIT_REACHED"}
    with held(impatient, [HEALTH_CHECK, HEALTH_WATCH]) as calls:
        assert {ended(call) for call in calls.calls} == {"UNAVAILABLE"}
        assert "no message" in calls.calls[0].details()
    assert waits(impatient) == 0
    assert list_columns_as(impatient, None)


def test_watchers_who_read_nothing_hold_nobody(guarded: RunningServer) -> None:
    host, _, port = guarded.address.rpartition(":")
    with socket.create_connection((host, int(port))) as stranger:
        # Nothing may be sent on its streams.
        no_window = http2_frame(4, 0, 0, struct.pack(">HI", 4, 0))
        stranger.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + no_window)
        told = {":method": "POST", ":scheme": "http", ":path": HEALTH_WATCH, ":authority": "argus"}
        told |= {"te": "trailers", "content-type": "application/grpc"}
        headers = b"".join(hpack_literal(name, value) for name, value in told.items())
        for stream in range(1, 9, 2):
            stranger.sendall(http2_frame(1, 4, stream, headers) + http2_frame(0, 1, stream, bytes(5)))
        health = guarded.server._health
        wait_until(lambda: len(health._send_response_callbacks.get("", ())) == 4)
        assert check(guarded) == "OK"
        health.set("", health_pb2.HealthCheckResponse.NOT_SERVING)
        assert check(guarded) == "OK"


def http2_frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """RFC 9113, section 4.1."""
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def hpack_literal(name: str, value: str) -> bytes:
    """RFC 7541, section 6.2.2."""
    return b"\0" + b"".join(bytes([len(text)]) + text.encode() for text in (name, value))


@pytest.mark.parametrize("method", [LIST_COLUMNS, PLAN_METHOD, HEALTH_CHECK])
def test_a_call_without_a_message_is_refused(guarded: RunningServer, tokens: Path, method: str) -> None:
    metadata = known_as(guarded, tokens, "ann")
    with pytest.raises(grpc.RpcError) as refused:
        guarded.channel.stream_unary(method)(iter(()), metadata=metadata, timeout=PATIENCE_S)
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT


def a_batch() -> bytes:
    request = IngestEventsRequest()
    kind = EventType.EVENT_TYPE_VIRTUAL_THREAD_START
    request.rows.events.append(Event(timestamp=1, event_type=kind, source="s"))
    return request.SerializeToString()


@pytest.mark.parametrize(
    ("method", "message"),
    [(INGEST_METHOD, a_batch()), (PLAN_METHOD, b""), (LIST_COLUMNS, b"")],
    ids=["ingest", "plan", "columns"],
)
def test_who_is_revoked_before_the_message_has_nothing_of_it(
    guarded: RunningServer, tokens: Path, method: str, message: bytes
) -> None:
    metadata = known_as(guarded, tokens, "ann")
    calls = Held()
    call = calls.begin(guarded.channel, method, metadata)
    wait_until(lambda: waits(guarded) == 1)
    revoke(guarded, tokens, "ann", metadata)
    calls.send(message)
    assert ended(call) == "UNAVAILABLE ACCESS_CHANGED"
    assert guarded.sql("SELECT count(*) FROM events") == [(0,)]


def test_who_is_revoked_in_the_queue_has_no_plan(guarded: RunningServer, tokens: Path) -> None:
    metadata = known_as(guarded, tokens, "ann")
    plans = guarded.server._plans
    places = [plans._slots.enter(ANONYMOUS) for _ in range(MAX_PLANS)]
    call = guarded.exports.PlanExport.future(PlanExportRequest(), metadata=metadata)
    wait_until(lambda: plans.waiting == 1)
    revoke(guarded, tokens, "ann", metadata)
    for place in places:
        place.leave()
    assert outcome(call.result) == "UNAVAILABLE ACCESS_CHANGED"


def test_reflection_is_bounded(impatient: RunningServer) -> None:
    def reflect() -> object:
        question = reflection_pb2.ServerReflectionRequest(list_services="")
        stub = reflection_pb2_grpc.ServerReflectionStub(impatient.channel)
        return list(stub.ServerReflectionInfo(iter([question]), timeout=PATIENCE_S))

    calls = Held()
    for _ in range(MAX_REFLECTIONS):
        calls.begin(impatient.channel, REFLECTION_METHOD)
    wait_until(lambda: waits(impatient) == MAX_REFLECTIONS)
    with pytest.raises(grpc.RpcError) as refused:
        reflect()
    assert outcome_of(refused.value) == "RESOURCE_EXHAUSTED LIMIT_REACHED"
    assert f"{MAX_REFLECTIONS} reflections" in str(refused.value.details())

    assert {ended(call) for call in calls.calls} == {"UNAVAILABLE"}
    assert "idle" in calls.calls[0].details()
    wait_until(lambda: outcome(reflect) == "OK")
    calls.send()
