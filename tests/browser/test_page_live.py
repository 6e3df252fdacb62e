"""The page while events come in, and while its server is away."""

import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Page, expect

from argus_client.times import parse_duration_ns, parse_instant_ns
from argus_grpc.v1.event_pb2 import Event, EventType
from tests.browser.conftest import Guard, dashboard_process, open_page
from tests.conftest import RunningServer
from tests.quick_server import quick_server

pytestmark = pytest.mark.usefixtures("guard")

PINNED = EventType.EVENT_TYPE_VIRTUAL_THREAD_PINNED
SCRIPT = "<script>throw 'markup'</script><img src=x onerror=alert(1)>"


def pinned(name: str, timestamp: int | None = None) -> Event:
    return Event(
        timestamp=time.time_ns() if timestamp is None else timestamp,
        event_type=PINNED,
        source=f"source {name}",
        thread_id=7,
        thread_name=name,
        carrier_thread=3,
        duration_ns=5_000_000,
        stack_trace=f"com.example.{name}.run\njava.lang.Thread.run",
        pinned_reason=name,
    )


@pytest.fixture
def dashboard(server: RunningServer) -> Iterator[str]:
    """A dashboard of a server with an empty store."""
    with dashboard_process(server.address) as address:
        yield address


def test_an_empty_store_is_said(page: Page, dashboard: str) -> None:
    open_page(page, dashboard)
    expect(page.locator("#figure-total .value")).to_have_text("0")
    expect(page.locator("#events-state")).to_have_text("No events match these filters.")
    expect(page.locator("#rate .state")).to_have_text("No events match these filters.")


def test_new_events_come_in_at_the_top(page: Page, server: RunningServer, dashboard: str) -> None:
    server.ingest([pinned(f"before-{number}") for number in range(3)])
    open_page(page, dashboard)
    expect(page.locator("#events-body tr")).to_have_count(3)
    switch = page.get_by_role("switch", name="Live")
    switch.click()
    expect(switch).to_have_attribute("aria-checked", "true")
    expect(switch).to_have_class("switch on")
    expect(page).to_have_url(f"{dashboard}/?live=1")
    server.ingest([pinned(f"new-{number}") for number in range(4)])
    expect(page.locator("#events-body tr").first).to_contain_text("new-3")
    expect(page.locator("#events-body tr")).to_have_count(7)
    expect(page.locator("#figure-pinned .value")).to_have_text("7")
    expect(page.locator("#rate > .caption")).to_contain_text("7 events")
    # An event that comes late takes the place that its time gives it.
    server.ingest([pinned("late", timestamp=1)])
    expect(page.locator("#events-body tr").last).to_contain_text("late")
    switch.click()
    expect(switch).to_have_attribute("aria-checked", "false")
    server.ingest([pinned("unseen")])
    page.get_by_role("checkbox", name="PINNED").check()
    expect(page.locator("#events-body tr")).to_have_count(9)


def test_a_preset_is_one_exact_range_for_all_requests(
    page: Page, server: RunningServer, dashboard: str
) -> None:
    server.ingest([pinned("now"), pinned("now"), pinned("old", time.time_ns() - 3600 * 10**9)])
    open_page(page, dashboard)
    expect(page.locator("#figure-total .value")).to_have_text("3")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.get_by_role("radio", name="15 min").check()
    expect(page).to_have_url(re.compile("last=15m"))
    expect(page.locator("#figure-total .value")).to_have_text("2")
    expect(page.locator("#rate > .caption")).to_contain_text("2 events")
    expect(page.locator("#events-body tr")).to_have_count(2)
    expect(page.locator("#main")).to_have_attribute("aria-busy", "false")
    exact = [parse_qs(urlsplit(url).query) for url in asked if "/api/" in url and "last=" not in url]
    assert len({(query["from"][0], query["to"][0]) for query in exact}) == 1
    (start,), (end,) = exact[0]["from"], exact[0]["to"]
    assert parse_instant_ns(end) - parse_instant_ns(start) == parse_duration_ns("15m")


def test_only_events_of_the_filter_come_in(page: Page, server: RunningServer, dashboard: str) -> None:
    open_page(page, dashboard, "?live=1&thread_name_contains=mine")
    expect(page.get_by_role("switch", name="Live")).to_have_class("switch on")
    server.ingest([pinned("other"), pinned("mine-1"), pinned("other")])
    expect(page.locator("#events-body tr")).to_have_count(1)
    expect(page.locator("#figure-total .value")).to_have_text("1")


def test_what_looks_like_markup_is_text(page: Page, server: RunningServer, dashboard: str) -> None:
    server.ingest([pinned(SCRIPT)])
    open_page(page, dashboard)
    row = page.locator("#events-body tr").first
    expect(row).to_contain_text(SCRIPT)
    row.locator("button").click()
    expect(page.locator("#detail")).to_contain_text(SCRIPT)
    page.locator("#source-menu summary").click()
    expect(page.locator("#sources")).to_contain_text(f"source {SCRIPT}")
    page.locator("#stacks button").click()
    expect(page.locator("#stacks pre")).to_contain_text(SCRIPT)
    assert page.locator("script:not([src]), main img").count() == 0


def test_a_server_that_is_away_is_said_and_waited_for(page: Page, guard: Guard, tmp_path: Path) -> None:
    guard.expect("503")
    guard.expect("ERR_INCOMPLETE_CHUNKED_ENCODING")
    database = tmp_path / "events.duckdb"
    with quick_server(database) as server, dashboard_process(server.address, "--retry-for-s", "1") as address:
        open_page(page, address, "?live=1")
        total = page.locator("#figure-total .value").inner_text()
        assert server.stop(signal.SIGKILL) != 0
        alert = page.get_by_role("alert")
        expect(alert).to_contain_text("The Argus server does not answer")
        expect(alert.get_by_role("button", name="Try again now")).to_be_visible()
        # What was shown stays, and is said to be out of date.
        expect(page.locator("#figure-total .value")).to_have_text(total)
        with quick_server(database, "--listen", server.address):
            expect(alert).to_be_hidden(timeout=30_000)
            expect(page.get_by_role("switch", name="Live")).to_have_class("switch on", timeout=30_000)


def test_a_dashboard_that_is_away_is_said(page: Page, guard: Guard, server: RunningServer) -> None:
    guard.expect("ERR_CONNECTION_REFUSED")
    guard.expect("Failed to load resource")
    with dashboard_process(server.address) as address:
        open_page(page, address)
    page.get_by_role("checkbox", name="PINNED").check()
    expect(page.get_by_role("alert")).to_contain_text("argus-dashboard cannot be reached")
