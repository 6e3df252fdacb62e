"""An export that is cut goes on by itself, or says why it cannot; scripted servers cut it."""

import re
import threading
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest
from click.testing import CliRunner, Result
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo

from argus_client import (
    ArgusClientError,
    Backoff,
    BrokenExport,
    ExportClient,
    InvalidRequest,
    LimitExceeded,
    ResumePoint,
    ResumeRefused,
    ServerError,
    ServerUnavailable,
)
from argus_client.cli import commands
from argus_grpc.v1.event_pb2 import EventType
from argus_grpc.v1.export_pb2 import ExportHeader, Order, StreamEventsResponse
from tests.scripted import (
    EndWith,
    ScriptedExports,
    Stall,
    Step,
    altered,
    batch,
    header,
    progress,
    scripted_server,
    status,
    summary,
)

Code = grpc.StatusCode
AT_ONCE = Backoff(first_s=0.001, max_s=0.001)
CUT = EndWith(Code.UNAVAILABLE, "gone")
BUSY = status(Code.RESOURCE_EXHAUSTED, "too many exports", RetryInfo(retry_delay=Duration(nanos=1_000_000)))
PROGRESS = altered(progress(2), lambda message: setattr(message.progress, "resume_token", "p"))
REST = (header(5, first_row=2), batch(2, 3), summary(5))


def client_of(server: ScriptedExports, retry_for_s: float = 20) -> ExportClient:
    return ExportClient(server.address, retry_for_s=retry_for_s, backoff=AT_ONCE)


def tokens(server: ScriptedExports) -> list[str]:
    return [request.resume_token for request in server.requests]


CUTS: dict[str, tuple[tuple[Step, ...], tuple[tuple[Step, ...], ...], list[str]]] = {
    "before any event": (
        (header(5), CUT),
        ((header(5), batch(0, 5), summary(5)),),
        ["", "token-0"],
    ),
    "between batches": ((header(5), batch(0, 2), CUT), (REST,), ["", "token-2"]),
    "after progress": (
        (header(5), batch(0, 2), PROGRESS, CUT),
        (REST,),
        ["", "p"],
    ),
    "after the last event": (
        (header(5), batch(0, 5), CUT),
        ((header(5, first_row=5), summary(5)),),
        ["", "token-5"],
    ),
    "after the summary": (
        (header(5), batch(0, 5), summary(5), CUT),
        ((header(5, first_row=5), summary(5)),),
        ["", "token-5"],
    ),
    "again and again": (
        (header(5), batch(0, 1), CUT),
        ((CUT,), (header(5, first_row=1), CUT), (header(5, first_row=1), batch(1, 1), CUT), REST),
        ["", "token-1", "token-1", "token-0", "token-2"],
    ),
    "refused as busy before it begins": (
        (BUSY,),
        ((BUSY,), (header(5), batch(0, 5), summary(5))),
        ["", "", ""],
    ),
    "refused as busy when it goes on": (
        (header(5), batch(0, 2), CUT),
        ((BUSY,), REST),
        ["", "token-2", "token-2"],
    ),
}


@pytest.mark.parametrize("name", CUTS)
def test_the_reader_of_a_cut_export_notices_nothing(name: str) -> None:
    first, then, expected_tokens = CUTS[name]
    with scripted_server(*first, then=then) as server, client_of(server) as client:
        export = client.export()
        rows = [row for events in export for row in events["thread_id"].to_pylist()]
        assert rows == [0, 1, 2, 3, 4]
        assert export.summary == summary(5).summary
        assert export.header.first_row == 0
    assert tokens(server) == expected_tokens


def test_each_wait_is_told_of_with_the_try_and_the_reason() -> None:
    told: list[tuple[int, bool, str]] = []
    first = (header(5), batch(0, 1), CUT)
    then = ((CUT,), (header(5, first_row=1), batch(1, 1), CUT), REST)
    with scripted_server(*first, then=then) as server, client_of(server) as client:
        client.export(
            on_retry=lambda attempt, wait_s, error: told.append((attempt, 0 <= wait_s <= 0.001, str(error)))
        ).to_arrow()
    went_away = f"the server at {server.address} went away, after "
    assert told == [
        (1, True, went_away + "1 of 5 events"),
        (2, True, went_away + "1 of 5 events"),
        (1, True, went_away + "2 of 5 events"),
    ]


def test_the_limit_of_a_later_call_is_what_is_left_of_it() -> None:
    then = ((header(4, first_row=3), batch(3, 1), summary(4, rows_remaining=6)),)
    with (
        scripted_server(header(4), batch(0, 3), CUT, then=then) as server,
        client_of(server) as client,
    ):
        export = client.export(limit=4)
        assert export.to_arrow().num_rows == 4
    assert [request.limit for request in server.requests] == [4, 1]
    assert export.summary.rows_remaining == 6
    assert (export.request.limit, export.request.resume_token) == (4, "")


@pytest.mark.parametrize(("all_events", "remaining"), [(10, 7), (3, 0)])
def test_when_the_limit_is_used_up_the_header_says_how_it_ended(all_events: int, remaining: int) -> None:
    # No limit at all would bring more than was asked for: this call is called off.
    then = ((header(all_events, first_row=3), Stall()),)
    with scripted_server(header(3), batch(0, 3), CUT, then=then) as server, client_of(server) as client:
        export = client.export(limit=3)
        assert export.to_arrow().num_rows == 3
        assert export.summary.rows_remaining == remaining
        assert export.summary.continuation_token == ("token-0" if remaining else "")
    assert [request.limit for request in server.requests] == [3, 0]


def test_a_new_process_goes_on_from_a_resume_point() -> None:
    with scripted_server(*REST) as server, client_of(server) as client:
        export = client.export(limit=9, resume_from=ResumePoint("token-2", 2))
        assert export.resume_point == ResumePoint("token-2", 2)
        assert export.header.first_row == 2
        assert export.to_arrow()["thread_id"].to_pylist() == [2, 3, 4]
        assert export.resume_point == ResumePoint("token-5", 5)
    assert [(request.resume_token, request.limit) for request in server.requests] == [("token-2", 7)]


def test_the_resume_point_is_after_the_last_batch_read() -> None:
    with (
        scripted_server(header(5), batch(0, 2), batch(2, 3), summary(5)) as server,
        client_of(server) as client,
    ):
        export = client.export()
        with pytest.raises(RuntimeError, match="no resume point before its header"):
            _ = export.resume_point
        assert export.header.total_events == 5
        points = [export.resume_point, *(export.resume_point for _ in export)]
    assert points == [ResumePoint(f"token-{rows}", rows) for rows in (0, 2, 5)]


def test_a_limit_below_the_resume_point_is_refused() -> None:
    with ExportClient("127.0.0.1:1") as client, pytest.raises(InvalidRequest, match=r"limit: 1 .* 2 or more"):
        client.export(limit=1, resume_from=ResumePoint("token", 2))


def of_header(alter: Callable[[ExportHeader], object]) -> StreamEventsResponse:
    return altered(header(5, first_row=2), lambda message: alter(message.header))


OTHER_EXPORTS: dict[str, tuple[StreamEventsResponse, str]] = {
    "store": (of_header(lambda h: setattr(h, "store_id", "b")), "its store_id was '', and is 'b' now"),
    "export": (of_header(lambda h: setattr(h, "export_id", "e")), "export_id was 'export-1', and is 'e'"),
    "time": (of_header(lambda h: h.exported_at.FromSeconds(0)), "exported_at was "),
    "watermark": (of_header(lambda h: setattr(h, "watermark", 1001)), "watermark was 1,000, and is 1,001"),
    "total": (of_header(lambda h: setattr(h, "total_events", 6)), "total_events was 5, and is 6"),
    "order": (of_header(lambda h: setattr(h, "order", Order.ORDER_ARRIVAL)), "order was ORDER_TIME"),
    "columns": (of_header(lambda h: h.columns.pop()), "columns was timestamp"),
    "type": (of_header(lambda h: setattr(h.columns[2], "type", 2)), "thread_id int32"),
    "redaction": (of_header(lambda h: h.redacted_columns.append("thread_name")), "was none, and is thread_n"),
    "query": (
        of_header(lambda h: h.query.event_types.append(EventType.EVENT_TYPE_GC_PAUSE)),
        "query was empty, and is event_types: EVENT_TYPE_GC_PAUSE now",
    ),
    "place": (header(5, first_row=1), "begins at event 1 where 2 should come next"),
}


@pytest.mark.parametrize("name", OTHER_EXPORTS)
def test_another_export_in_its_place_is_never_taken(name: str, tmp_path: Path) -> None:
    other, message = OTHER_EXPORTS[name]
    then = ((other, batch(2, 3), summary(5)),)
    first = altered(header(5), lambda m: m.header.exported_at.FromSeconds(1))
    if name != "time":
        other.header.exported_at.FromSeconds(1)
    with scripted_server(first, batch(0, 2), CUT, then=then) as server, client_of(server) as client:
        with pytest.raises(BrokenExport, match=message):
            client.export().to_csv(tmp_path / "out.csv")
        assert len(server.requests) == 2
    assert not (tmp_path / "out.csv").exists()


def test_a_server_that_describes_its_columns_in_other_words_is_the_same() -> None:
    then = ((of_header(lambda h: setattr(h.columns[0], "description", "when")), *REST[1:]),)
    with scripted_server(header(5), batch(0, 2), CUT, then=then) as server, client_of(server) as client:
        assert client.export().to_arrow().num_rows == 5


DAMAGED = altered(batch(2, 3), lambda message: setattr(message.batch, "crc32c", 1))


@pytest.mark.parametrize(
    ("then", "message"),
    [
        ((REST[0], DAMAGED), "CRC-32C differs"),
        ((batch(2, 3), summary(5)), "begins with a batch"),
        ((summary(5),), "begins with a summary"),
        ((REST[0], REST[0]), "second header"),
        ((REST[0], batch(3, 2)), "begins at event 3 where 2"),
        ((REST[0],), "without its summary, after 2 of 5 events"),
        ((), "ended before its header"),
    ],
)
def test_what_does_not_add_up_after_a_cut_is_not_tried_again(then: tuple[Step, ...], message: str) -> None:
    with scripted_server(header(5), batch(0, 2), CUT, then=(then,)) as server, client_of(server) as client:
        with pytest.raises(BrokenExport, match=message):
            client.export().to_arrow()
        assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (Code.CANCELLED, ServerError),
        (Code.DEADLINE_EXCEEDED, ServerError),
        (Code.DATA_LOSS, BrokenExport),
        (Code.INVALID_ARGUMENT, InvalidRequest),
        (Code.FAILED_PRECONDITION, ResumeRefused),
        (Code.UNIMPLEMENTED, ServerError),
        (Code.INTERNAL, ServerError),
        (Code.UNKNOWN, ServerError),
        (Code.RESOURCE_EXHAUSTED, LimitExceeded),
    ],
)
def test_other_errors_are_not_tried_again(code: grpc.StatusCode, expected: type[ArgusClientError]) -> None:
    told = status(code, "UNAVAILABLE, try again", ErrorInfo(reason="UNAVAILABLE", domain="test"))
    with scripted_server(header(5), batch(0, 2), told) as server, client_of(server) as client:
        with pytest.raises(expected):
            client.export().to_arrow()
        assert len(server.requests) == 1


def test_a_fresh_export_fails_at_once_where_no_server_is() -> None:
    with scripted_server(CUT) as server, client_of(server) as client:
        with pytest.raises(ServerUnavailable, match="no server answers"):
            client.export().to_arrow()
        assert len(server.requests) == 1


def test_a_resumed_export_waits_for_its_server() -> None:
    with scripted_server(CUT, then=[REST]) as server, client_of(server) as client:
        assert client.export(resume_from=ResumePoint("token-2", 2)).to_arrow().num_rows == 3


@pytest.mark.parametrize("then", [[], [REST]])
def test_nothing_is_tried_again_when_that_is_turned_off(then: list[tuple[Step, ...]], tmp_path: Path) -> None:
    with (
        scripted_server(header(5), batch(0, 2), CUT, then=then) as server,
        client_of(server, retry_for_s=0) as client,
    ):
        with pytest.raises(ServerUnavailable) as caught:
            client.export().to_csv(tmp_path / "out.csv")
        assert len(server.requests) == 1
    assert str(caught.value) == f"the server at {server.address} went away, after 2 of 5 events"
    assert not (tmp_path / "out.csv").exists()


def test_it_says_how_often_it_tried_before_it_gave_up() -> None:
    then = [(header(5, first_row=2), CUT)]
    with (
        scripted_server(header(5), batch(0, 2), CUT, then=then) as server,
        client_of(server, retry_for_s=0.2) as client,
    ):
        with pytest.raises(ServerUnavailable) as caught:
            client.export().to_arrow()
        tries = len(server.requests) - 1
    assert tries > 1
    assert str(caught.value).endswith(f"went away, after 2 of 5 events; tried again {tries:,} times, in vain")


@pytest.mark.parametrize(
    ("told", "message"),
    [
        (
            status(
                Code.INVALID_ARGUMENT,
                "bad",
                BadRequest(
                    field_violations=[
                        BadRequest.FieldViolation(field="resume_token", description="it is not ours")
                    ]
                ),
            ),
            "it is not ours; go on at the server that began it, with the same request, or start the export",
        ),
        (status(Code.FAILED_PRECONDITION, "it has expired; start the export anew"), "start the export anew"),
    ],
)
def test_a_refused_token_says_what_to_do(told: EndWith, message: str) -> None:
    with scripted_server(header(5), batch(0, 2), CUT, then=[(told,)]) as server, client_of(server) as client:
        with pytest.raises(ResumeRefused, match=message):
            client.export().to_arrow()
        assert len(server.requests) == 2


def test_closing_ends_a_wait() -> None:
    waits = threading.Event()
    with (
        scripted_server(header(5), batch(0, 2), CUT) as server,
        ExportClient(server.address, backoff=Backoff(first_s=1e6, max_s=1e6)) as client,
    ):
        export = client.export(on_retry=lambda *_: waits.set())

        def close() -> None:
            waits.wait()
            export.close()

        closer = threading.Thread(target=close)
        closer.start()
        with pytest.raises(ServerUnavailable, match="went away, after 2 of 5 events"):
            export.to_arrow()
        closer.join()
        assert len(server.requests) == 1


@pytest.mark.parametrize("retry_for_s", [-1, float("nan")])
def test_a_time_that_is_none_is_refused(retry_for_s: float) -> None:
    with pytest.raises(InvalidRequest, match="retry_for_s"):
        ExportClient(retry_for_s=retry_for_s)


@pytest.mark.parametrize("max_batch_bytes", [0, -1, 16_383, 2**21 + 1, 2**40])
def test_a_batch_size_beyond_what_the_contract_allows_is_refused(max_batch_bytes: int) -> None:
    with (
        ExportClient() as client,
        pytest.raises(InvalidRequest, match=r"max_batch_bytes: .* 16384 to 2097152"),
    ):
        client.export(max_batch_bytes=max_batch_bytes)


def run_export(server: ScriptedExports, *flags: str) -> Result:
    return CliRunner().invoke(
        commands, ["export", "--columns", "thread_id", *flags, "--server", server.address], env={}
    )


def test_the_command_line_says_on_stderr_that_it_tries_again() -> None:
    with scripted_server(header(5), batch(0, 2), CUT, then=[REST]) as server:
        result = run_export(server)
    assert result.exit_code == 0
    assert [line.split(",")[2] for line in result.stdout.splitlines()[1:]] == list("01234")
    assert re.match(
        rf"the server at {server.address} went away, after 2 of 5 events; trying again in 0\.\d s\n",
        result.stderr,
    )


def test_the_command_line_does_not_try_again_when_told_so() -> None:
    with scripted_server(header(5), batch(0, 2), CUT, then=[REST]) as server:
        result = run_export(server, "--retry-for", "0")
    assert result.exit_code == 1
    assert result.stderr == f"Error: the server at {server.address} went away, after 2 of 5 events\n"


@pytest.mark.parametrize("value", ["soon", "-1s", "5"])
def test_a_retry_time_that_is_none_is_refused(value: str) -> None:
    with scripted_server(header(0), summary(0)) as server:
        result = run_export(server, "--retry-for", value)
    assert result.exit_code == 2
    assert f"'--retry-for': {value!r} is not a duration" in result.stderr
    assert server.requests == []
