"""Every RPC that a running server has × callers known by tokens and JSON Web Tokens and callers that are not
known, each with its exact outcome. test_transport.py has those with certificates.

The RPCs are read off the server: a new one fails here until it has a row.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from argus_grpc.access.tokens_file import revoke_tokens
from argus_grpc.server import Server
from argus_grpc.v1.aggregate_pb2 import GroupBy, Measure
from argus_grpc.v1.event_pb2 import Event, EventType
from argus_grpc.v1.export_pb2 import (
    ListColumnsRequest,
    PlanExportRequest,
    StreamAggregatesRequest,
    StreamEventsRequest,
)
from argus_grpc.v1.export_pb2_grpc import ExportServiceStub
from argus_grpc.v1.ingest_pb2 import IngestEventsRequest
from argus_grpc.v1.ingest_pb2_grpc import IngestServiceStub
from tests.conftest import RunningServer, start_server
from tests.identities import AUDIENCE, ISSUER, Issuer, bearer, change_tokens, make_token, write_jwks
from tests.refusals import outcome, wait_until

OK = "OK"
UNKNOWN = "UNAUTHENTICATED NOT_AUTHENTICATED"
DENIED = "PERMISSION_DENIED NOT_PERMITTED"

Metadata = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Row:
    """How an RPC is called, and what it comes to for those who have these roles, by name, and for those who
    are not known."""

    call: Callable[[grpc.Channel, Metadata], object]
    outcomes: Mapping[str, str]
    unknown: str = UNKNOWN


def _first(stream: Any) -> object:
    message = next(stream)
    stream.cancel()
    return message


def _events() -> IngestEventsRequest:
    request = IngestEventsRequest()
    request.rows.events.append(
        Event(timestamp=1, event_type=EventType.EVENT_TYPE_VIRTUAL_THREAD_START, source="s")
    )
    return request


def _export(name: str, request: Any, is_stream: bool = False) -> Callable[[grpc.Channel, Metadata], object]:
    def call(channel: grpc.Channel, metadata: Metadata) -> object:
        answer = getattr(ExportServiceStub(channel), name)(request, metadata=metadata)
        return list(answer) if is_stream else answer

    return call


def _reflect(channel: grpc.Channel, metadata: Metadata) -> object:
    question = reflection_pb2.ServerReflectionRequest(list_services="")
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    return list(stub.ServerReflectionInfo(iter([question]), metadata=metadata))


def _health(name: str, request: Any) -> Callable[[grpc.Channel, Metadata], object]:
    def call(channel: grpc.Channel, metadata: Metadata) -> object:
        answer = getattr(health_pb2_grpc.HealthStub(channel), name)(request, metadata=metadata)
        return _first(answer) if name == "Watch" else answer

    return call


READING = {"admin": OK, "reader": OK, "writer": DENIED, "none": DENIED}
WRITING = {"admin": OK, "reader": DENIED, "writer": OK, "none": DENIED}
OPEN = dict.fromkeys(READING, OK)
CLOSED = dict.fromkeys(READING, DENIED)
GROUPING = StreamAggregatesRequest(group_by=[GroupBy(column="event_type")], measures=[Measure()])
EXPORT, INGEST = "/argus_grpc.v1.ExportService", "/argus_grpc.v1.IngestService"
HEALTH, REFLECTION = "/grpc.health.v1.Health", "/grpc.reflection.v1alpha.ServerReflection"

ROWS: Mapping[str, Row] = {
    f"{EXPORT}/ListColumns": Row(_export("ListColumns", ListColumnsRequest()), READING),
    f"{EXPORT}/PlanExport": Row(_export("PlanExport", PlanExportRequest()), READING),
    f"{EXPORT}/StreamEvents": Row(_export("StreamEvents", StreamEventsRequest(), True), READING),
    f"{EXPORT}/StreamAggregates": Row(_export("StreamAggregates", GROUPING, True), READING),
    f"{INGEST}/IngestEvents": Row(
        lambda channel, metadata: IngestServiceStub(channel).IngestEvents(_events(), metadata=metadata),
        WRITING,
    ),
    f"{HEALTH}/Check": Row(_health("Check", health_pb2.HealthCheckRequest()), OPEN, unknown=OK),
    f"{HEALTH}/Watch": Row(_health("Watch", health_pb2.HealthCheckRequest()), OPEN, unknown=OK),
    # Not one of those that are let through: refused, although the library has it.
    f"{HEALTH}/List": Row(_health("List", health_pb2.HealthListRequest()), CLOSED),
    f"{REFLECTION}/ServerReflectionInfo": Row(_reflect, {**OPEN, "none": DENIED}),
}

ROLES = ("admin", "reader", "writer", "none")
"""none: which there is not."""


@dataclass(frozen=True)
class Callers:
    """What callers send: those who are known by their roles, and those who are not by what is wrong."""

    known: dict[str, Metadata]
    unknown: dict[str, Metadata]


@pytest.fixture(scope="module")
def matrix(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunningServer, Callers]]:
    folder = tmp_path_factory.mktemp("matrix")
    tokens, jwks, issuer = folder / "tokens.json", folder / "jwks.json", Issuer()
    write_jwks(jwks, issuer)
    known = {f"token {role}": bearer(make_token(tokens, f"a {role}", role)) for role in ROLES}
    known |= {f"jwt {role}": bearer(issuer.token(f"a {role}", role)) for role in ROLES}
    good = known["token admin"][0][1]
    expired = make_token(tokens, "expired", "admin")
    change_tokens(tokens, "expired", expiresAt="2024-01-01T00:00:00Z")
    revoked = make_token(tokens, "revoked", "admin")
    [_] = revoke_tokens(tokens, "revoked")
    unknown = {
        "anonymous": (),
        "another scheme": (("authorization", good.replace("Bearer", "Basic")),),
        "wrong token": (("authorization", good[:-1] + ("x" if good[-1] != "x" else "y")),),
        "expired token": bearer(expired),
        "revoked token": bearer(revoked),
        "token of another server": bearer(make_token(folder / "others.json", "ann", "admin")),
        "wrong jwt": bearer(Issuer().token(role="admin")),
        "expired jwt": bearer(issuer.token(role="admin", exp=1_700_000_000)),
        "no text": (("authorization", ""),),
    }
    settings = {"jwt_jwks": str(jwks), "jwt_issuer": ISSUER, "jwt_audience": AUDIENCE}
    for server in start_server(folder, tokens=tokens, **settings):
        yield server, Callers(known, unknown)


def methods_of(server: Server) -> set[str]:
    """All that a server would answer to, as gRPC itself finds it."""
    state = server._grpc._state  # type: ignore[attr-defined]
    names = set(state.registered_method_handlers)
    for handler in state.generic_handlers:
        names |= set(handler._method_handlers)
    return names


def test_every_rpc_of_the_server_has_a_row(matrix: tuple[RunningServer, Callers]) -> None:
    assert methods_of(matrix[0].server) == set(ROWS)


@pytest.mark.parametrize("method", ROWS)
def test_what_each_caller_gets_of_an_rpc(matrix: tuple[RunningServer, Callers], method: str) -> None:
    server, callers = matrix
    row = ROWS[method]
    expected = {name: row.outcomes[name.split()[1]] for name in callers.known}
    expected |= dict.fromkeys(callers.unknown, row.unknown)
    found = {
        name: outcome(partial(row.call, server.channel, metadata))
        for name, metadata in (callers.known | callers.unknown).items()
    }
    assert found == expected


def test_watching_the_health_takes_no_thread_of_the_server(matrix: tuple[RunningServer, Callers]) -> None:
    """It is open to all: strangers who watch by the hundred would otherwise leave none for others."""
    server, _ = matrix
    stub = health_pb2_grpc.HealthStub(server.channel)
    watches = [stub.Watch(health_pb2.HealthCheckRequest()) for _ in range(100)]
    for watch in watches:
        assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
    threads = server.server._threads
    wait_until(lambda: threads._idle_semaphore._value == len(threads._threads))
    for watch in watches:
        watch.cancel()


def test_what_there_is_not_is_there_for_no_one(matrix: tuple[RunningServer, Callers]) -> None:
    server, callers = matrix
    call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = server.channel.unary_unary(f"{EXPORT}/DropEvents")
    for metadata in (callers.known | callers.unknown).values():
        assert outcome(partial(call, b"", metadata=metadata)) == "UNIMPLEMENTED"
