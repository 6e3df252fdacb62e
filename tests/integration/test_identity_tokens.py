"""Tokens of a file: who gets in by them, and what a running server makes of changes."""

import json
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import RetryInfo
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_status import rpc_status
from structlog.testing import capture_logs

from argus_grpc.access.tokens_file import revoke_tokens
from argus_grpc.v1.event_pb2 import Event, EventType
from argus_grpc.v1.export_pb2 import ListColumnsRequest, StreamEventsRequest
from argus_grpc.v1.export_pb2_grpc import ExportServiceStub
from argus_grpc.v1.ingest_pb2 import IngestEventsRequest, IngestEventsResponse
from tests.conftest import RunningServer, start_server
from tests.identities import bearer, change_tokens, id_of, make_token
from tests.refusals import PATIENCE_S, outcome, outcome_of, wait_until

REFUSED = "UNAUTHENTICATED NOT_AUTHENTICATED"
START = EventType.EVENT_TYPE_VIRTUAL_THREAD_START


@pytest.fixture
def server(tmp_path: Path, tokens: Path) -> Iterator[RunningServer]:
    yield from start_server(tmp_path, tokens=tokens)


def calling(server: RunningServer, *metadata: tuple[str, str]) -> Callable[[], object]:
    return lambda: server.exports.ListColumns(ListColumnsRequest(), metadata=metadata)


def with_token(server: RunningServer, token: str) -> Callable[[], object]:
    return calling(server, *bearer(token))


def text_of(call: Callable[[], object]) -> str:
    with pytest.raises(grpc.RpcError) as ending:
        call()
    return str(ending.value.details())


def test_a_token_is_good_a_second_after_it_is_made(server: RunningServer, tokens: Path) -> None:
    token = make_token(tokens, "ann", "reader")
    wait_until(lambda: outcome(with_token(server, token)) == "OK")
    assert outcome(calling(server, ("authorization", f"bearer  {token}"))) == "OK"


def test_what_is_refused_is_not_told_apart(server: RunningServer, tokens: Path) -> None:
    token = make_token(tokens, "ann", "reader")
    wait_until(lambda: outcome(with_token(server, token)) == "OK")
    other = make_token(tokens, "bob", "reader")
    wrong = [
        token[:-1] + ("A" if token[-1] != "A" else "B"),
        f"argus_{id_of(token)}_{other.rpartition('_')[2]}",
        f"argus_0123456789abcdef_{'x' * 43}",
        f"argus_{id_of(token)}",
        f"{token}x",
        "argus_",
        "nonsense",
        "",
        "eyJhbGciOiJub25lIn0.e30.",
    ]
    calls = [with_token(server, text) for text in wrong]
    calls.append(calling(server, ("authorization", f"Basic {token}")))
    calls.append(calling(server, ("authorization", token)))
    calls.append(calling(server, *bearer(token), *bearer(token)))
    assert {outcome(call) for call in calls} == {REFUSED}
    assert {text_of(call) for call in calls} == {"the credentials are not accepted"}


def test_missing_credentials_are_told_what_is_accepted(server: RunningServer) -> None:
    call = calling(server)
    assert outcome(call) == REFUSED
    assert text_of(call) == (
        "credentials are missing: send a token of `argus-server token create` as `authorization: Bearer …`"
    )


def test_an_expired_token_is_told_so_to_who_has_it(server: RunningServer, tokens: Path) -> None:
    token = make_token(tokens, "ann", "reader")
    change_tokens(tokens, "ann", expiresAt="2024-01-01T00:00:00Z")
    wait_until(lambda: "expired" in text_of(with_token(server, token)))
    assert outcome(with_token(server, token)) == REFUSED
    assert text_of(with_token(server, token[:-2])) == "the credentials are not accepted"


def test_a_revoked_token_is_refused_and_another_of_the_name_is_not(
    server: RunningServer, tokens: Path
) -> None:
    old, new = make_token(tokens, "ann", "reader"), make_token(tokens, "ann", "reader")
    wait_until(lambda: outcome(with_token(server, new)) == "OK")
    revoke_tokens(tokens, id_of(old))
    wait_until(lambda: outcome(with_token(server, old)) == REFUSED)
    assert outcome(with_token(server, new)) == "OK"


def test_a_role_that_there_is_not_may_nothing(server: RunningServer, tokens: Path) -> None:
    token = make_token(tokens, "ann", "auditor")
    wait_until(lambda: outcome(with_token(server, token)) == "PERMISSION_DENIED NOT_PERMITTED")
    assert text_of(with_token(server, token)) == "token 'ann' has the role 'auditor', which there is not"


def test_a_role_is_let_into_its_rpcs_alone(server: RunningServer, tokens: Path) -> None:
    reader, writer = make_token(tokens, "ann", "reader"), make_token(tokens, "bob", "writer")
    wait_until(lambda: outcome(with_token(server, writer)) == "PERMISSION_DENIED NOT_PERMITTED")
    assert text_of(with_token(server, writer)) == "ListColumns is not open to the role 'writer'"
    with pytest.raises(grpc.RpcError) as refused:
        server.ingests.IngestEvents(IngestEventsRequest(), metadata=bearer(reader))
    assert outcome_of(refused.value) == "PERMISSION_DENIED NOT_PERMITTED"


def test_a_broken_file_changes_nothing_until_it_is_whole(server: RunningServer, tokens: Path) -> None:
    token = make_token(tokens, "ann", "reader")
    wait_until(lambda: outcome(with_token(server, token)) == "OK")
    whole = tokens.read_bytes()
    authenticator = server.server._entrance.authenticator
    for broken in (b"", whole[:-20], b"[]", whole.replace(b"sha256", b"sha512"), b"\xff\xfe"):
        tokens.write_bytes(broken)
        for _ in range(3):
            authenticator.look()
        assert outcome(with_token(server, token)) == "OK"
    tokens.unlink()
    authenticator.look()
    assert outcome(with_token(server, token)) == "OK"
    tokens.write_text(json.dumps({"version": 1, "tokens": []}))
    wait_until(lambda: outcome(with_token(server, token)) == REFUSED)


def follow(server: RunningServer, token: str) -> Any:
    request = StreamEventsRequest(columns=["sequence"], follow=True)
    return server.exports.StreamEvents(request, metadata=bearer(token), timeout=PATIENCE_S)


def test_a_revoked_principals_stream_ends_resumable_and_anothers_goes_on(
    server: RunningServer, tokens: Path
) -> None:
    ann, bob = make_token(tokens, "ann", "reader"), make_token(tokens, "bob", "reader")
    writer = make_token(tokens, "writer", "writer")
    wait_until(lambda: outcome(with_token(server, ann)) == "OK")
    streams = {token: follow(server, token) for token in (ann, bob)}
    for stream in streams.values():
        next(stream), next(stream)  # header, and that it has come so far
    revoke_tokens(tokens, "ann")
    with pytest.raises(grpc.RpcError) as ending:
        list(streams[ann])
    assert outcome_of(ending.value) == "UNAVAILABLE ACCESS_CHANGED"
    retry = RetryInfo()
    assert any(detail.Unpack(retry) for detail in rpc_status.from_call(ending.value).details)
    assert retry.HasField("retry_delay")
    assert retry.retry_delay.ToNanoseconds() == 0

    event = Event(timestamp=1, event_type=START, source="s")
    server.ingests.IngestEvents(_request(event), metadata=bearer(writer))
    assert next(message for message in streams[bob] if message.HasField("batch")).batch.row_count == 1
    streams[bob].cancel()


def test_a_stream_whose_reader_waits_ends_when_it_reads_on(server: RunningServer, tokens: Path) -> None:
    admin = make_token(tokens, "root", "admin")
    wait_until(lambda: outcome(with_token(server, admin)) == "OK")
    for _ in range(4):
        request = _request(
            *(Event(timestamp=1, event_type=START, source="s", thread_name="x" * 999) for _ in range(3000))
        )
        server.ingests.IngestEvents(request, metadata=bearer(admin))
    # A connection that takes no more than the client reads.
    with grpc.insecure_channel(server.address, [("grpc.http2.bdp_probe", 0)]) as channel:
        stub = ExportServiceStub(channel)
        stream = stub.StreamEvents(StreamEventsRequest(columns=["all"]), metadata=bearer(admin))
        messages = [next(stream)]
        change_tokens(tokens, "root", role="reader")
        streams = server.server._identity._streams
        wait_until(lambda: not streams or any(call.interruption for call in list(streams.values())))
        with pytest.raises(grpc.RpcError) as ending:
            messages.extend(stream)
    assert outcome_of(ending.value) == "UNAVAILABLE ACCESS_CHANGED"

    rows = sum(message.batch.row_count for message in messages)
    last = messages[-1]
    token = last.batch.resume_token or last.header.resume_token
    resumed = StreamEventsRequest(columns=["all"], resume_token=token)
    rest = list(server.exports.StreamEvents(resumed, metadata=bearer(admin)))
    assert rest[0].header.first_row == rows < 12_000
    assert rest[-1].summary.total_rows == 12_000


def test_a_revoked_principal_asks_reflection_nothing_more(server: RunningServer, tokens: Path) -> None:
    ann = make_token(tokens, "ann", "reader")
    wait_until(lambda: outcome(with_token(server, ann)) == "OK")
    ended = threading.Event()

    def questions() -> Iterator[reflection_pb2.ServerReflectionRequest]:
        yield reflection_pb2.ServerReflectionRequest(list_services="")
        ended.wait(PATIENCE_S)

    stub = reflection_pb2_grpc.ServerReflectionStub(server.channel)
    with capture_logs() as logged:
        answers = stub.ServerReflectionInfo(questions(), metadata=bearer(ann), timeout=PATIENCE_S)
        next(answers)
        revoke_tokens(tokens, "ann")
        assert outcome(partial(next, answers)) == "CANCELLED"
        ended.set()
        wait_until(lambda: not server.server._identity._streams)
    assert not [line for line in logged if line["log_level"] == "error"]


def test_an_expired_principals_stream_ends(server: RunningServer, tokens: Path) -> None:
    ann = make_token(tokens, "ann", "reader")
    wait_until(lambda: outcome(with_token(server, ann)) == "OK")
    stream = follow(server, ann)
    next(stream)
    change_tokens(tokens, "ann", expiresAt="2024-01-01T00:00:00Z")
    with pytest.raises(grpc.RpcError) as ending:
        list(stream)
    assert outcome_of(ending.value) == "UNAVAILABLE ACCESS_CHANGED"
    assert outcome(with_token(server, ann)) == REFUSED


def test_an_ingest_is_refused_before_its_request_is_received(server: RunningServer) -> None:
    """A request that is not sent until its answer has come."""
    refused = threading.Event()

    def requests() -> Iterator[IngestEventsRequest]:
        assert refused.wait(PATIENCE_S)
        yield IngestEventsRequest()

    ingest = server.channel.stream_unary(
        "/argus_grpc.v1.IngestService/IngestEvents",
        request_serializer=IngestEventsRequest.SerializeToString,
        response_deserializer=IngestEventsResponse.FromString,
    )
    call = ingest.future(requests(), timeout=PATIENCE_S)
    call.add_done_callback(lambda _: refused.set())
    assert outcome(call.result) == REFUSED


def _request(*events: Event) -> IngestEventsRequest:
    request = IngestEventsRequest()
    request.rows.events.extend(events)
    return request
