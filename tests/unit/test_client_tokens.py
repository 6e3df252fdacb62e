"""Who calls, said with every call: over real sockets, with servers that play what a test tells them to."""

import itertools
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo

from argus_client import (
    ArgusClientError,
    Backoff,
    ExportClient,
    NotAllowed,
    NotSignedIn,
    ServerError,
    ServerUnavailable,
    TlsFailed,
    TokenFile,
    Violation,
)
from argus_grpc.v1.event_pb2 import Event, EventType
from tests.any_method import any_method_server
from tests.scripted import EndWith, ScriptedExports, batch, header, scripted_server, status, summary

AT_ONCE = Backoff(first_s=0, max_s=0)
CUT = EndWith(grpc.StatusCode.UNAVAILABLE, "gone")
UNKNOWN = status(
    grpc.StatusCode.UNAUTHENTICATED, "the token is not known", ErrorInfo(reason="NOT_AUTHENTICATED")
)
ACCESS_CHANGED = status(
    grpc.StatusCode.UNAVAILABLE,
    "what you may see has changed",
    ErrorInfo(reason="ACCESS_CHANGED"),
    RetryInfo(retry_delay=Duration()),
)
EVENT = Event(timestamp=1, event_type=EventType.EVENT_TYPE_GC_PAUSE, source="s")


CALLS: dict[str, Callable[[ExportClient], object]] = {
    "ListColumns": lambda client: client.columns(),
    "PlanExport": lambda client: client.plan(),
    "StreamEvents": lambda client: client.export().to_arrow(),
    "StreamAggregates": lambda client: client.aggregate().to_arrow(),
    "IngestEvents": lambda client: client.ingest_events([EVENT]),
}


def caller_of(client: ExportClient, method: str = "ListColumns") -> str:
    """Who calls, as a server that says so has it."""
    with pytest.raises(ServerError) as caught:
        CALLS[method](client)
    return str(caught.value).partition("failed: ")[2]


@pytest.mark.parametrize("method", CALLS)
def test_every_call_says_who_calls_with_the_token_of_that_moment(method: str) -> None:
    numbers = itertools.count(1)
    with any_method_server() as server:
        with ExportClient(server.address, token=lambda: f"t{next(numbers)}") as client:
            assert [caller_of(client, method) for _ in range(2)] == ["Bearer t1", "Bearer t2"]
        with ExportClient(server.address) as client:
            assert caller_of(client, method) == "None"
    assert server.methods == [method] * 3


def test_callers_that_share_a_connection_are_told_apart() -> None:
    with any_method_server() as server, ExportClient(server.address, token="of-the-first") as client:

        def call_often(name: str) -> set[str]:
            caller = client.as_caller(name)
            return {caller_of(caller, method) for _ in range(5) for method in CALLS}

        with ThreadPoolExecutor(8) as threads:
            names = [f"caller-{number}" for number in range(8)]
            assert list(threads.map(call_often, names)) == [{f"Bearer {name}"} for name in names]
        assert caller_of(client.as_caller(None)) == "None"
        assert caller_of(client.as_caller("a").as_caller("b")) == "Bearer b"
        with client.as_caller(lambda: "later") as other:
            assert caller_of(other) == "Bearer later"
        # That closed nothing.
        assert caller_of(client) == "Bearer of-the-first"


def test_a_token_does_not_leave_this_machine_in_plaintext_unless_that_is_asked_for() -> None:
    with any_method_server() as server:
        # It leads here, but is no loopback address.
        elsewhere = server.address.replace("127.0.0.1", "0.0.0.0")
        with ExportClient(elsewhere, token="secret") as client, pytest.raises(TlsFailed) as caught:
            client.columns()
        assert caught.value.problem == "server_plaintext"
        assert server.methods == []
        with ExportClient(elsewhere, token="secret", insecure=True) as client:
            assert caller_of(client) == "Bearer secret"


def test_no_proxy_of_the_environment_is_told_a_token_for_this_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Nothing answers there.
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with any_method_server() as server, ExportClient(server.address, token="secret") as client:
        assert caller_of(client) == "Bearer secret"


def client_of(server: ScriptedExports, *tokens: str, retry_for_s: float = 60) -> ExportClient:
    """One whose token is another each time it is asked for, and in the end the last."""
    rest = itertools.chain(tokens, itertools.repeat(tokens[-1]))
    return ExportClient(server.address, token=lambda: next(rest), retry_for_s=retry_for_s, backoff=AT_ONCE)


def test_a_token_that_was_replaced_is_tried_once_more() -> None:
    rest = (header(2, first_row=1), batch(1, 1), summary(2))
    waits: list[tuple[float, type[ArgusClientError]]] = []
    with (
        scripted_server(header(2), batch(0, 1), CUT, then=((UNKNOWN,), rest)) as server,
        # At the second call, and when it has failed.
        client_of(server, "old", "old", "new") as client,
    ):
        export = client.export(on_retry=lambda _, wait_s, error: waits.append((wait_s, type(error))))
        assert export.to_arrow().num_rows == 2
    assert server.authorizations == ["Bearer old", "Bearer old", "Bearer new"]
    assert waits[1] == (0.0, NotSignedIn)


@pytest.mark.parametrize(("tokens", "calls"), [(("old",), 2), (("old", "old", "new"), 3), ("abcdefgh", 3)])
def test_otherwise_it_is_told_at_once(tokens: tuple[str, ...], calls: int) -> None:
    with (
        scripted_server(header(2), batch(0, 1), CUT, then=((UNKNOWN,),)) as server,
        client_of(server, *tokens) as client,
        pytest.raises(NotSignedIn, match=r"^the token is not known$"),
    ):
        client.export().to_arrow()
    assert len(server.requests) == calls


def test_a_token_in_a_file_may_be_replaced_while_an_export_runs(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("token-0\n")
    parts = [(header(4, first_row=row), batch(row, 1), ACCESS_CHANGED) for row in range(4)]
    waits: list[float] = []
    with (
        scripted_server(*parts[0], then=(*parts[1:], (header(4, first_row=4), summary(4)))) as server,
        ExportClient(server.address, token=TokenFile(path), backoff=Backoff(5, 5)) as client,
    ):
        export = client.export(on_retry=lambda _attempt, wait_s, _error: waits.append(wait_s))
        for number, _ in enumerate(export, 1):
            path.write_text(f"token-{number}\n")
    assert server.authorizations == [f"Bearer token-{number}" for number in range(5)]
    # Not after the wait that other failures are followed by.
    assert waits == [0.0] * 4


def test_what_is_not_permitted_is_told_by_the_names_of_arguments() -> None:
    violations = [
        BadRequest.FieldViolation(field="query.sources[0]", description="your role has not 'orders'"),
        BadRequest.FieldViolation(field="columns[2]", description="your role has not thread_name"),
    ]
    told = status(grpc.StatusCode.PERMISSION_DENIED, "no", BadRequest(field_violations=violations))
    with (
        scripted_server(told) as server,
        ExportClient(server.address) as client,
        pytest.raises(NotAllowed) as caught,
    ):
        client.export().to_arrow()
    assert type(caught.value) is NotAllowed
    assert (
        str(caught.value) == "sources: your role has not 'orders'; columns[2]: your role has not thread_name"
    )
    assert caught.value.violations[0] == Violation("query.sources[0]", "your role has not 'orders'")


def test_closing_the_first_client_ends_the_waits_of_its_other_callers() -> None:
    later = status(grpc.StatusCode.UNAVAILABLE, "busy", RetryInfo(retry_delay=Duration(seconds=50)))
    is_waiting = threading.Event()
    with any_method_server({"PlanExport": [later]}) as server, ThreadPoolExecutor(1) as thread:
        with ExportClient(server.address) as client:
            other = client.as_caller("other")
            plan = thread.submit(lambda: other.plan(on_retry=lambda *_: is_waiting.set()))
            assert is_waiting.wait(20)
        with pytest.raises(ServerUnavailable, match="busy"):
            plan.result(20)
