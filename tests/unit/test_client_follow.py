"""A followed export as the client takes it: grows, never shrinks, and ends whole when it is told to."""

import json
import threading
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest

from argus_client import (
    ArgusClientError,
    Backoff,
    BrokenExport,
    Export,
    ExportClient,
    InvalidRequest,
    ServerUnavailable,
)
from argus_client.manifest import manifest_path
from argus_client.retry import RetryState
from argus_grpc.v1.export_pb2 import ExportHeader, StreamEventsResponse
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
    summary,
)

CUT = EndWith(grpc.StatusCode.UNAVAILABLE, "gone")
AT_ONCE = Backoff(first_s=0.001, max_s=0.001)
# A snapshot of two events, three that came since, and a sign of life.
FOLLOWED: tuple[StreamEventsResponse, ...] = (header(2), batch(0, 2), progress(2), batch(2, 3))


def client_of(server: ScriptedExports, retry_for_s: float = 20) -> ExportClient:
    return ExportClient(server.address, retry_for_s=retry_for_s, backoff=AT_ONCE)


def rows_until(export: Export, count: int) -> list[int]:
    """The thread ids of all events; the export is ended once it has so many."""
    rows: list[int] = []
    for events in export:
        rows += events["thread_id"].to_pylist()
        if len(rows) >= count:
            export.end_following()
    return rows


def calls(server: ScriptedExports) -> list[tuple[bool, str]]:
    return [(request.follow, request.resume_token) for request in server.requests]


def test_it_goes_beyond_its_header_and_ends_with_a_call_that_does_not_follow() -> None:
    last = (header(6, first_row=5, watermark=1_500), batch(5, 1), summary(6, watermark=1_500))
    with scripted_server(*FOLLOWED, Stall(), then=[last]) as server, client_of(server) as client:
        export = client.export(follow=True)
        assert rows_until(export, 5) == [0, 1, 2, 3, 4, 5]
        assert export.summary == last[-1].summary
        assert export.header == FOLLOWED[0].header
    assert calls(server) == [(True, ""), (False, "token-5")]


def test_it_is_live_once_the_snapshot_is_through() -> None:
    last = (header(5, first_row=5), summary(5))
    with scripted_server(*FOLLOWED, Stall(), then=[last]) as server, client_of(server) as client:
        export = client.export(follow=True)
        parts = export.read()
        seen = [(next(parts) is None, export.is_live) for _ in FOLLOWED[1:]]
        assert seen == [(False, False), (True, True), (False, True)]
        export.end_following()
        assert [part for part in parts if part is not None] == []
        assert export.summary.total_rows == 5


CUTS: dict[str, tuple[tuple[Step, ...], list[str]]] = {
    "in the snapshot": ((header(2), batch(0, 1), CUT), ["", "token-1"]),
    "before the live events": ((*FOLLOWED[:3], CUT), ["", "token-2"]),
    "between live events": ((*FOLLOWED[:3], batch(2, 1), CUT), ["", "token-3"]),
}


@pytest.mark.parametrize("name", CUTS)
def test_a_cut_shows_nowhere_though_more_has_come_meanwhile(name: str) -> None:
    first, tokens = CUTS[name]
    rows = sum(step.batch.row_count for step in first if isinstance(step, StreamEventsResponse))
    again = (header(max(rows, 2), rows, 1_001), batch(rows, 5 - rows), progress(5, 1_002), Stall())
    last = (header(5, first_row=5, watermark=1_002), summary(5, watermark=1_002))
    told: list[str] = []
    with scripted_server(*first, then=[again, last]) as server, client_of(server) as client:
        export = client.export(follow=True, on_retry=lambda *what: told.append(str(what[2])))
        assert rows_until(export, 5) == [0, 1, 2, 3, 4]
        assert export.summary.watermark == 1_002
    assert calls(server) == [*((True, token) for token in tokens), (False, "token-5")]
    assert told == [f"the server at {server.address} went away, after {rows} events"]


def of_header(alter: Callable[[ExportHeader], object]) -> StreamEventsResponse:
    return altered(header(5, first_row=5), lambda message: alter(message.header))


BROKEN: dict[str, tuple[tuple[Step, ...], tuple[Step, ...], str]] = {
    "a summary": ((*FOLLOWED, summary(5)), (), "sent a summary of an export that is followed, after 5"),
    "an end": (FOLLOWED, (), "ended an export that was to be followed, after 5 events"),
    "a gap": ((*FOLLOWED, batch(6, 1)), (), "begins at event 6 where 5 should come"),
    "progress elsewhere": ((*FOLLOWED, progress(4)), (), "says it has sent 4 events, after 5"),
    "progress behind the header": ((header(2), batch(0, 2), progress(2, 999)), (), "watermark was 1,000"),
    "progress backwards": ((*FOLLOWED, progress(5, 1_500), progress(5, 1_400)), (), "watermark was 1,500"),
    "another export": (
        (*FOLLOWED, CUT),
        (of_header(lambda h: setattr(h, "export_id", "e")),),
        "its export_id was 'export-1', and is 'e' now",
    ),
    "another place": ((*FOLLOWED, CUT), (header(9, first_row=4),), "begins at event 4 where 5 should"),
    "a watermark that shrank": (
        (*FOLLOWED, progress(5, 1_500), CUT),
        (header(5, first_row=5, watermark=1_400),),
        "goes back behind what it has sent, after 5 events: its watermark was 1,500 at least, and is 1,400",
    ),
    "a total that shrank": (
        (*FOLLOWED, CUT),
        (header(4, first_row=5),),
        "its total_events was 5 at least, and is 4 now",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_does_not_add_up_is_broken(name: str) -> None:
    first, then, message = BROKEN[name]
    with scripted_server(*first, then=[then] if then else []) as server, client_of(server) as client:
        with pytest.raises(BrokenExport, match=message):
            list(client.export(follow=True))
        assert len(server.requests) == (2 if then else 1)


LAST_CALLS: dict[str, tuple[tuple[Step, ...], str]] = {
    "too many": ((header(6, first_row=5), batch(5, 2)), "more events came than the 6"),
    "too few": ((header(6, first_row=5), summary(5)), "5 events came, but the header says 6"),
    "another watermark": ((header(5, first_row=5, watermark=1_001), summary(5)), "watermark is 1,000"),
    "no summary": ((header(5, first_row=5),), "ended without its summary, after 5 events"),
}


@pytest.mark.parametrize("name", LAST_CALLS)
def test_the_call_that_ends_it_adds_up_with_its_own_header(name: str) -> None:
    last, message = LAST_CALLS[name]
    with scripted_server(*FOLLOWED, Stall(), then=[last]) as server, client_of(server) as client:
        with pytest.raises(BrokenExport, match=message):
            rows_until(client.export(follow=True), 5)
        assert [request.follow for request in server.requests] == [True, False]


def test_a_sign_of_life_gives_the_whole_time_for_trying_again() -> None:
    """Each cut would else count on from the first, and the second try would be the third failure."""
    alive = (header(2, first_row=2), progress(2), CUT)
    last = (header(2, first_row=2), summary(2))
    told: list[int] = []

    with (
        scripted_server(*FOLLOWED[:3], CUT, then=[alive, alive, (*alive[:2], Stall()), last]) as server,
        client_of(server) as client,
    ):
        export = client.export(follow=True, on_retry=lambda attempt, *_: told.append(attempt))
        parts = export.read()
        while len(told) < 3:
            next(parts)
        assert [next(parts), next(parts)] == [None, None]  # the fourth call's header and sign of life
        export.end_following()
        list(parts)
    assert told == [1, 1, 1]
    assert RetryState(has_begun=True, failures=3, failing_since_s=5.0).with_progress().failures == 0


def test_ending_it_while_its_server_is_away_makes_the_last_call_at_once() -> None:
    last = (header(5, first_row=5), summary(5))
    waits = threading.Event()
    with (
        scripted_server(*FOLLOWED, CUT, then=[last]) as server,
        ExportClient(server.address, backoff=Backoff(first_s=1e6, max_s=1e6)) as client,
    ):
        export = client.export(follow=True, on_retry=lambda *_: waits.set())

        def end() -> None:
            waits.wait()
            export.end_following()
            export.end_following()

        ending = threading.Thread(target=end)
        ending.start()
        assert sum(events.num_rows for events in export) == 5
        ending.join()
        assert export.summary.total_rows == 5
    assert calls(server) == [(True, ""), (False, "token-5")]


def test_ended_before_it_begins_it_is_an_export_like_any_other() -> None:
    with scripted_server(header(2), batch(0, 2), summary(2)) as server, client_of(server) as client:
        export = client.export(follow=True)
        export.end_following()
        assert [events.num_rows for events in export] == [2]
    assert calls(server) == [(False, "")]


def test_the_last_call_is_tried_again_as_any_other() -> None:
    last = (header(5, first_row=5), summary(5))
    told: list[ArgusClientError] = []
    with scripted_server(*FOLLOWED, Stall(), then=[(CUT,), last]) as server, client_of(server) as client:
        export = client.export(follow=True, on_retry=lambda *what: told.append(what[2]))
        assert rows_until(export, 5) == [0, 1, 2, 3, 4]
    assert calls(server) == [(True, ""), (False, "token-5"), (False, "token-5")]
    assert [type(error) for error in told] == [ServerUnavailable]


def test_closing_calls_a_followed_export_off() -> None:
    with scripted_server(*FOLLOWED, Stall()) as server, client_of(server) as client:
        with client.export(follow=True) as export:
            assert next(iter(export)).num_rows == 2
        assert server.call_ended.wait(5)
        assert len(server.requests) == 1


def test_what_has_no_end_is_not_collected_nor_limited_nor_written_as_json(tmp_path: Path) -> None:
    with scripted_server(*FOLLOWED, Stall()) as server, client_of(server) as client:
        with pytest.raises(InvalidRequest, match="limit: 3 is not allowed; allowed: None for an export that"):
            client.export(follow=True, limit=3)
        with pytest.raises(RuntimeError, match="has no end to wait for"):
            client.export(follow=True).to_arrow()
        for name, format in (("a.json", None), ("a.csv", "json")):
            with pytest.raises(
                InvalidRequest, match="format: 'json' is not allowed for an export that is fo"
            ):
                client.export(follow=True).write(tmp_path / name, format)
        assert server.requests == []
    assert list(tmp_path.iterdir()) == []


def test_a_file_of_it_has_the_last_watermark_in_its_manifest(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    last = (header(5, first_row=5, watermark=1_500), summary(5, watermark=1_500))
    with scripted_server(*FOLLOWED, Stall(), then=[last]) as server, client_of(server) as client:
        export = client.export(follow=True)

        def end(rows: int) -> None:
            if rows == 5:
                export.end_following()

        written = export.write(path, on_progress=end)
    assert (written.events, written.is_truncated) == (5, False)
    assert len(path.read_text().splitlines()) == 6
    manifest = json.loads(manifest_path(path).read_bytes())
    assert (manifest["watermark"], manifest["rows"], manifest["complete"]) == (1_500, 5, True)
