"""The page in a real browser, against plain SQL on the server's own database."""

import random
import re
import shutil
import signal
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Locator, Page, expect

from argus_client import EventQuery, ExportClient
from argus_client.times import format_instant, parse_instant_ns
from argus_grpc.v1.event_pb2 import Event, EventType
from tests.browser.conftest import Guard, dashboard_process, open_page
from tests.conftest import RunningServer
from tests.quick_server import quick_server

PINNED = EventType.EVENT_TYPE_VIRTUAL_THREAD_PINNED
TYPES = {
    "START": "VIRTUAL_THREAD_START",
    "END": "VIRTUAL_THREAD_END",
    "PINNED": "VIRTUAL_THREAD_PINNED",
    "ALLOCATION": "ALLOCATION",
    "GC_PAUSE": "GC_PAUSE",
}


def figure(page: Page, name: str) -> Locator:
    return page.locator(f"#figure-{name} .value")


def shown(count: int) -> str:
    return f"{count:,}"


def rate_total(page: Page) -> int:
    """The sum of the bars that are drawn, by the chart's own data."""
    return int(
        page.evaluate(
            "() => document.querySelector('#rate .chart').data"
            ".flatMap((trace) => trace.customdata).reduce((sum, count) => sum + count, 0)"
        )
    )


def url_query(page: Page) -> dict[str, list[str]]:
    return parse_qs(urlsplit(page.url).query)


def count(argus: RunningServer, where: str = "true") -> int:
    return int(argus.sql(f"SELECT count(*) FROM argus_events WHERE {where}")[0][0])


@pytest.fixture
def opened(page: Page, guard: Guard, dashboard: str) -> Page:
    open_page(page, dashboard)
    return page


def test_figures_are_what_sql_says(opened: Page, argus: RunningServer) -> None:
    total = count(argus)
    expect(figure(opened, "total")).to_have_text(shown(total))
    for name, type_ in (("started", "START"), ("ended", "END"), ("pinned", "PINNED"), ("failed", "SUBMIT_FAILED")):
        expected = count(argus, f"event_type = {type_code('VIRTUAL_THREAD_' + type_)}")
        expect(figure(opened, name)).to_have_text(shown(expected))
    assert rate_total(opened) == total
    expect(opened.locator("#events-caption")).to_have_text(f"The newest 100 of {shown(total)}")


def type_code(name: str) -> int:
    return int(EventType.Value(f"EVENT_TYPE_{name}"))
