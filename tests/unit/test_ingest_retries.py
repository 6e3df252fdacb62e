"""Batches that are sent again: when, and that none is stored twice; a scripted server plays failures."""

import threading
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from argus_client import Backoff, ExportClient, InvalidRequest, LimitExceeded, ServerUnavailable
from argus_client.cli import commands
from argus_client.errors import ArgusClientError
from argus_grpc.v1.event_pb2 import Event, EventType
from tests.scripted_ingest import GONE, Play, busy, ingest_server, refused

EVENTS = [Event(timestamp=n, event_type=EventType.EVENT_TYPE_GC_PAUSE, source="s") for n in range(3)]
AT_ONCE = Backoff(first_s=0, max_s=0)
NO_SERVER = "127.0.0.1:1"


def client_of(address: str, retry_for_s: float = 60) -> ExportClient:
    return ExportClient(address, retry_for_s=retry_for_s, backoff=AT_ONCE)


def test_a_batch_whose_answer_was_lost_is_sent_again_under_its_id() -> None:
    tries: list[int] = []
    with ingest_server(Play.STORE, Play.LOSE_ANSWER, GONE) as server, client_of(server.address) as client:
        client.ingest_events(EVENTS[:1], source="s", batch_id="1")
        answer = client.ingest_events(
            EVENTS, source="s", batch_id="2", on_retry=lambda attempt, _wait_s, _error: tries.append(attempt)
        )
    assert (answer.first_sequence, answer.last_sequence, answer.was_stored_before) == (2, 4, True)
    assert [(r.source, r.batch_id) for r in server.requests] == [("s", "1"), *[("s", "2")] * 3]
    assert tries == [1, 2]
    assert server.next_sequence == 5


def test_a_batch_without_an_id_is_sent_again_only_where_the_server_asks_for_it() -> None:
    with ingest_server(busy(0), Play.STORE, GONE) as server, client_of(server.address) as client:
        client.ingest_events(EVENTS)
        with pytest.raises(ServerUnavailable, match="went away"):
            client.ingest_events(EVENTS)
    assert len(server.requests) == 3


@pytest.mark.parametrize("batch_id", [None, "1"])
def test_what_would_fail_again_is_not_sent_again(batch_id: str | None) -> None:
    source = batch_id and "s"
    with (
        ingest_server(
            Play.STORE, busy(None), refused("rows.events[1].thread_id", "0 is not allowed")
        ) as server,
        client_of(server.address) as client,
    ):
        client.ingest_events(EVENTS, source=source, batch_id=batch_id and "0")
        with pytest.raises(LimitExceeded):
            client.ingest_events(EVENTS, source=source, batch_id=batch_id)
        with pytest.raises(InvalidRequest):
            client.ingest_events(EVENTS, source=source, batch_id=batch_id)
    assert len(server.requests) == 3


def test_a_wrong_address_is_told_at_once_unless_the_server_is_waited_for() -> None:
    with client_of(NO_SERVER) as client, pytest.raises(ServerUnavailable, match="no server answers") as told:
        client.ingest_events(EVENTS, source="s", batch_id="1")
    assert "tried again" not in str(told.value)

    tries: list[ArgusClientError] = []

    def close_at_third(attempt: int, _wait_s: float, error: ArgusClientError) -> None:
        tries.append(error)
        if attempt == 3:
            client.close()

    with client_of(NO_SERVER) as client, pytest.raises(ServerUnavailable):
        client.ingest_events(EVENTS, source="s", batch_id="1", wait_for_server=True, on_retry=close_at_third)
    assert len(tries) == 3


def test_it_is_said_how_often_it_was_tried_in_vain() -> None:
    with (
        ingest_server(Play.STORE, GONE, busy(3_600)) as server,
        client_of(server.address, retry_for_s=10) as client,
    ):
        client.ingest_events(EVENTS, source="s", batch_id="0")
        with pytest.raises(LimitExceeded, match="too much at once; tried again once, in vain"):
            client.ingest_events(EVENTS, source="s", batch_id="1")


def test_closing_the_client_ends_a_wait() -> None:
    waits = threading.Event()
    with ingest_server(busy(3_600)) as server, ExportClient(server.address, retry_for_s=1e6) as client:
        failures: list[ArgusClientError] = []

        def send() -> None:
            try:
                client.ingest_events(EVENTS, on_retry=lambda *_: waits.set())
            except LimitExceeded as error:
                failures.append(error)

        thread = threading.Thread(target=send)
        thread.start()
        assert waits.wait(30)
        client.close()
        thread.join(30)
        assert len(failures) == 1


def run(address: str, *arguments: object) -> Result:
    return CliRunner().invoke(commands, ["ingest", "--server", address, *map(str, arguments)])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "small.jsonl"
    path.write_text('{"timestamp": 5, "eventType": "PINNED"}\n' * 40_000)
    return path


def test_the_command_goes_on_where_the_server_went_away(file: Path) -> None:
    with ingest_server(Play.STORE, Play.LOSE_ANSWER, busy(0.001)) as server:
        result = run(server.address, file)
    assert result.exit_code == 0, result.stderr
    assert "went away; trying again in " in result.stderr
    assert "too much at once; trying again in " in result.stderr
    assert [len(request.rows.events) for request in server.stored] == [16_384, 16_384, 7_232]
    assert len({request.batch_id for request in server.stored}) == 3
    # The answer that was lost said so; it is counted as an earlier run's would be.
    assert f"{file}: stored 23,616 events, 16,384 were there already (sequence 1 to 40000)\n" in result.stderr


def test_the_command_run_again_stores_what_is_left(file: Path) -> None:
    with ingest_server(Play.STORE, GONE) as server:
        first = run(server.address, file, "--retry-for", "0")
        assert first.exit_code == 1
        assert f"{file}: stored 16,384 events (sequence 1 to 16384)\n" in first.stderr
        assert "went away" in first.stderr
        assert first.stderr.endswith("What is stored is not stored twice: run it again to store the rest.\n")
        second = run(server.address, file)
        third = run(server.address, file)
    assert (second.exit_code, third.exit_code) == (0, 0)
    assert "stored 23,616 events, 16,384 were there already (sequence 16385 to 40000)\n" in second.stderr
    assert third.stderr == f"{file}: stored 0 events, 40,000 were there already\n"
    assert len(server.events) == 40_000


def test_an_event_that_the_server_refuses_is_named_by_its_place_in_the_file(file: Path) -> None:
    allowed = "0 is not allowed; allowed: 1 or more, or unset"
    with ingest_server(Play.STORE, refused("rows.events[2].thread_id", allowed)) as server:
        result = run(server.address, file)
    assert result.exit_code == 1
    assert f"Error: {file}, event 16,387: thread_id: {allowed}\n" in result.stderr
