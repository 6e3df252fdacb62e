"""A page full of events that would run script, if anything of theirs were taken for markup."""

from collections.abc import Iterator
from typing import Any, cast
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Dialog, Page, expect

from argus_grpc.columns import COLUMNS
from argus_grpc.v1.event_pb2 import Event, EventType
from argus_grpc.v1.export_pb2 import ColumnType
from tests.browser.conftest import Guard, dashboard_process, open_page
from tests.conftest import RunningServer, start_server

pytestmark = pytest.mark.usefixtures("guard")

START_NS = 1_704_067_200_000_000_000
HOSTILE = (
    '<img src=x onerror="hacked(1)">',
    '<a href="javascript:hacked(2)">link</a>',
    '"><svg onload=hacked(3)><script>hacked(4)</script>',
    "</script><script>hacked(5)</script>",
    "javascript:hacked(6)",
    "%{customdata}%{y:bad}<br><b onmouseover=hacked(7)>bold</b>",
    "{{hacked(8)}}${hacked(9)}`'\";hacked(10)//",
    "<style>body{display:none}</style><iframe srcdoc='<script>parent.hacked(11)</script>'>",
    "\u202e\x1b[2J\u2028<base href=//evil.example>",
)
# What the texts above would have left in the page.
MARKUP = "img[src=x], svg[onload], [onerror], [onmouseover], iframe, base, body style, script:not([src])"

WATCH = """
  window.hacks = [];
  window.violations = [];
  window.hacked = (number) => window.hacks.push(number);
  document.addEventListener('securitypolicyviolation', (told) =>
    window.violations.push(`${told.violatedDirective} ${told.blockedURI} ${told.sample}`));
"""


def hostile_events() -> list[Event]:
    """For every type, an event with each of the texts in all columns that take text."""
    texts = [column.name for column in COLUMNS if column.type == ColumnType.COLUMN_TYPE_STRING]
    return [
        Event(
            **cast(Any, {name: f"{text} {name}" if name != "source" else text for name in texts}),
            timestamp=START_NS + 1_000_000_000 * place,
            event_type=event_type,
            thread_id=place + 1,
            carrier_thread=place % 3 + 1,
            duration_ns=10**place,
            heap_used_before_bytes=3_000,
            heap_used_after_bytes=2_000,
            heap_committed_bytes=9_000,
        )
        for event_type in EventType.values()[1:]
        for place, text in enumerate(HOSTILE)
    ]


@pytest.fixture(scope="module", name="hostile")
def _hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    for running in start_server(tmp_path_factory.mktemp("hostile")):
        running.ingest(hostile_events())
        yield running


@pytest.fixture(scope="module", name="hostile_dashboard")
def _hostile_dashboard(hostile: RunningServer) -> Iterator[str]:
    with dashboard_process(hostile.address) as address:
        yield address


@pytest.fixture
def watched(page: Page) -> Iterator[Page]:
    """A page that notes what ran; nothing may have, at the test's end."""
    page.add_init_script(WATCH)
    dialogs: list[str] = []

    def dismiss(dialog: Dialog) -> None:
        dialogs.append(dialog.message)
        dialog.dismiss()

    page.on("dialog", dismiss)
    yield page
    assert page.evaluate("[hacks, violations]") == [[], []]
    assert page.locator(MARKUP).count() == 0
    links = page.evaluate(
        "[...document.querySelectorAll('a, use')]"
        ".map((a) => a.getAttribute('href') ?? a.getAttribute('xlink:href') ?? '')"
    )
    assert not [link for link in links if link.lower().strip().startswith(("javascript:", "data:"))]
    assert not dialogs


def test_nothing_of_an_event_is_markup(watched: Page, hostile_dashboard: str) -> None:
    open_page(watched, hostile_dashboard)
    rows = watched.locator("#events-body tr")
    expect(rows).to_have_count(len(hostile_events()))
    table = watched.locator("#events-body").inner_text()
    assert all(text.split("\n")[0][:20] in table for text in HOSTILE if "\x1b" not in text)
    for chart in watched.locator(".chart").all():
        chart.scroll_into_view_if_needed()
        box = chart.bounding_box()
        assert box is not None
        for part in (0.1, 0.5, 0.9):
            watched.mouse.move(box["x"] + box["width"] * part, box["y"] + box["height"] * 0.5)
    # Each text once in the detail of an event, with its stack; and the pinned stacks, opened.
    for place in range(len(HOSTILE)):
        rows.nth(place).locator("button").click()
        expect(watched.locator("#detail")).to_be_visible()
        watched.keyboard.press("Escape")
    for button in watched.locator("button[data-stack]").all():
        button.click()


@pytest.mark.parametrize("text", HOSTILE[:3])
def test_nothing_of_a_filter_is_markup(watched: Page, hostile_dashboard: str, text: str) -> None:
    query = urlencode({"source": text, "thread_name": f"*{text[:5]}*"})
    open_page(watched, hostile_dashboard, f"?{query}")
    watched.locator("#export-button").click()
    dialog = watched.get_by_role("dialog", name="Export Data")
    expect(dialog).to_be_visible()
    dialog.get_by_text("The same export elsewhere").click()
    for kind in ("curl", "Python", "Command line"):
        dialog.get_by_text(kind, exact=True).click()


def test_nothing_of_a_refusal_is_markup(watched: Page, guard: Guard, hostile_dashboard: str) -> None:
    guard.expect("400")
    query = urlencode({"thread_name_regex": f"({HOSTILE[0]}"})
    watched.goto(f"{hostile_dashboard}/?{query}")
    expect(watched.get_by_text("onerror").first).to_be_visible()
    # An answer on its own is no page either.
    answer = watched.request.get(f"{hostile_dashboard}/api/plan?{query}")
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("format", ["csv", "json", "jsonl"])
def test_a_file_is_saved_and_not_shown(hostile_dashboard: str, page: Page, format: str) -> None:
    query = urlencode({"format": format, "source": HOSTILE[0], "columns": "all"})
    answer = page.request.get(f"{hostile_dashboard}/export?{query}")
    assert answer.headers["content-disposition"].startswith("attachment; ")
    assert "text/html" not in answer.headers["content-type"]
    assert b"<img src=x onerror=" in answer.body()
