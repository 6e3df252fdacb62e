"""The page in a real browser, against plain SQL on the server's own database."""

import csv
import io
import random
import re
from urllib.parse import parse_qs, urlencode, urlsplit
from urllib.request import urlopen

import pytest
from playwright.sync_api import Locator, Page, expect

from argus_client import EventQuery, ExportClient
from argus_client.times import format_instant, parse_instant_ns
from argus_grpc.v1.event_pb2 import EventType
from tests.browser.conftest import Guard, open_page
from tests.conftest import RunningServer

pytestmark = pytest.mark.usefixtures("guard")


def figure(page: Page, name: str) -> Locator:
    return page.locator(f"#figure-{name} .value")


def rows(page: Page) -> Locator:
    return page.locator("#events-body tr")


def drawn_total(page: Page) -> int:
    """The sum of the bars of the chart over time, by the chart's own data."""
    return int(
        page.evaluate(
            "() => document.querySelector('#rate .chart').data"
            ".flatMap((trace) => trace.customdata).reduce((sum, count) => sum + count, 0)"
        )
    )


def expect_settled(page: Page) -> None:
    expect(page.locator("#main")).to_have_attribute("aria-busy", "false")


def expect_total(page: Page, total: int) -> None:
    """Strip, chart and table's caption say the same total."""
    expect(figure(page, "total")).to_have_text(f"{total:,}")
    if total == 0:
        expect(page.locator("#rate > .state")).to_have_text("No events match these filters.")
        expect(rows(page)).to_have_count(0)
        return
    expect(page.locator("#rate > .caption")).to_contain_text(f"{total:,} event")
    caption = page.locator("#events-caption")
    expect(caption).to_have_text(re.compile(rf"(of |^){total:,}( events?)?$"))
    expect_settled(page)
    assert drawn_total(page) == total


def query_of(page: Page) -> dict[str, list[str]]:
    return parse_qs(urlsplit(page.url).query)


def is_type(*names: str) -> str:
    """An SQL condition: any of these types, by their long names."""
    return f"event_type IN ({', '.join(str(EventType.Value(f'EVENT_TYPE_{name}')) for name in names)})"


def count(argus: RunningServer, where: str = "true") -> int:
    return int(argus.sql(f"SELECT count(*) FROM events WHERE {where}")[0][0])


@pytest.fixture
def opened(page: Page, dashboard: str) -> Page:
    open_page(page, dashboard)
    return page


def test_figures_are_what_sql_says(opened: Page, argus: RunningServer) -> None:
    expect_total(opened, count(argus))
    types = {"started": "START", "ended": "END", "pinned": "PINNED", "failed": "SUBMIT_FAILED"}
    for name, type_name in types.items():
        expected = count(argus, is_type(f"VIRTUAL_THREAD_{type_name}"))
        expect(figure(opened, name)).to_have_text(f"{expected:,}")
    expect(figure(opened, "gc")).to_have_text(str(count(argus, is_type("GC_PAUSE"))))
    p99, cpu = argus.sql(
        f"SELECT quantile_disc(duration_ns, 0.99) FILTER ({is_type('VIRTUAL_THREAD_PINNED')}), "
        "avg(cpu_jvm_user) + avg(cpu_jvm_system) FROM events"
    )[0]
    expect(figure(opened, "p99-pinned")).to_have_text(f"{p99 / 1e6:.3g} ms")
    expect(figure(opened, "cpu")).to_have_text(f"{cpu * 100:.3g} %")


def test_durations_stacks_and_carriers_hold_what_sql_says(opened: Page, argus: RunningServer) -> None:
    timed = count(argus, "duration_ns IS NOT NULL")
    expect(opened.locator("#durations-panel > .caption")).to_contain_text(f"{timed:,} events")
    bars = opened.evaluate(
        "() => document.querySelector('#durations-panel .chart').data"
        ".flatMap((trace) => trace.y).reduce((sum, count) => sum + count, 0)"
    )
    assert bars == timed
    stacks = argus.sql(
        "SELECT count(*), sum(duration_ns) FROM events "
        f"WHERE {is_type('VIRTUAL_THREAD_PINNED')} GROUP BY stack_trace ORDER BY 2 DESC"
    )
    expect(opened.locator("#stacks tbody tr:not(.whole) td:nth-child(2)")).to_have_text(
        [f"{number:,}" for number, _ in stacks]
    )
    carried = count(argus, "carrier_thread IS NOT NULL")
    expect(opened.locator("#carriers > .caption")).to_contain_text(f"{carried:,} events on 2 carriers")
    expect(opened.locator("#heap > .caption")).to_contain_text("vt21")


def test_filters_change_chart_table_and_url_alike(opened: Page, argus: RunningServer) -> None:
    opened.get_by_role("checkbox", name=re.compile("^PINNED")).check()
    expect_total(opened, count(argus, is_type("VIRTUAL_THREAD_PINNED")))
    opened.get_by_label("Min duration").fill("10ms")
    opened.get_by_label("Min duration").press("Enter")
    condition = f"{is_type('VIRTUAL_THREAD_PINNED')} AND duration_ns >= 10000000"
    expect_total(opened, count(argus, condition))
    opened.get_by_label("Thread name", exact=True).fill("clinit")
    opened.get_by_label("Thread name", exact=True).press("Enter")
    expect(opened).to_have_url(re.compile("thread_name_contains=clinit"))
    expect_total(opened, count(argus, f"{condition} AND contains(thread_name, 'clinit')"))
    opened.get_by_label("How the thread name fits").select_option("glob")
    expect_total(opened, count(argus, f"{condition} AND thread_name GLOB 'clinit'"))
    opened.get_by_label("How the thread name fits").select_option("regex")
    opened.locator("#source-menu summary").click()
    opened.get_by_role("checkbox", name=re.compile("^vt21")).check()
    expect_total(opened, count(argus, f"{condition} AND contains(thread_name, 'clinit') AND source = 'vt21'"))
    assert query_of(opened) == {
        "type": ["PINNED"],
        "min_duration": ["10ms"],
        "thread_name_regex": ["clinit"],
        "source": ["vt21"],
    }
    opened.get_by_role("button", name="Clear all").click()
    expect_total(opened, count(argus))
    assert not urlsplit(opened.url).query


def test_back_and_forward_and_a_link(opened: Page, argus: RunningServer, dashboard: str) -> None:
    opened.get_by_role("checkbox", name=re.compile("^PINNED")).check()
    pinned = count(argus, is_type("VIRTUAL_THREAD_PINNED"))
    expect_total(opened, pinned)
    opened.get_by_role("checkbox", name=re.compile("^GC_PAUSE")).check()
    expect_total(opened, pinned + count(argus, is_type("GC_PAUSE")))
    opened.go_back()
    expect_total(opened, pinned)
    expect(opened.get_by_role("checkbox", name=re.compile("^GC_PAUSE"))).not_to_be_checked()
    opened.go_back()
    expect_total(opened, count(argus))
    opened.go_forward()
    expect_total(opened, pinned)
    open_page(opened, dashboard, "?type=pinned,virtual_thread_end&min_duration=3ms")
    expect(opened.get_by_role("checkbox", name=re.compile("^END"))).to_be_checked()
    where = f"{is_type('VIRTUAL_THREAD_PINNED', 'VIRTUAL_THREAD_END')} AND duration_ns >= 3000000"
    expect_total(opened, count(argus, where))


def test_dragging_over_the_chart_sets_the_range(opened: Page, argus: RunningServer) -> None:
    drag(opened, "#rate", 0.1, 0.3)
    expect(opened).to_have_url(re.compile(r"from=.*to="))
    expect_settled(opened)
    (start,), (end,) = query_of(opened)["from"], query_of(opened)["to"]
    low, high = parse_instant_ns(start), parse_instant_ns(end)
    assert low % 50_000_000 == high % 50_000_000 == 0, "the range is of whole bars"
    expected = count(argus, f"timestamp >= {low} AND timestamp < {high}")
    assert 0 < expected < count(argus)
    expect_total(opened, expected)
    opened.get_by_role("button", name="Zoom out").click()
    expect(opened).not_to_have_url(re.compile(re.escape(urlencode({"to": end}))))
    expect_settled(opened)
    opened.go_back()
    expect_total(opened, expected)
    opened.go_back()
    expect_total(opened, count(argus))


def test_dragging_over_the_durations_filters_by_them(opened: Page, argus: RunningServer) -> None:
    drag(opened, "#durations-panel", 0.55, 0.8)
    expect(opened).to_have_url(re.compile(r"min_duration=.*max_duration="))
    (least,), (most,) = query_of(opened)["min_duration"], query_of(opened)["max_duration"]
    message = EventQuery(min_duration=least, max_duration=most).to_message()
    condition = f"duration_ns BETWEEN {message.min_duration_ns} AND {message.max_duration_ns}"
    expect_total(opened, count(argus, condition))
    opened.get_by_role("button", name="Remove the condition: at most").click()
    expect_total(opened, count(argus, f"duration_ns >= {message.min_duration_ns}"))


def drag(page: Page, panel: str, start: float, end: float) -> None:
    """Drags over a chart, from one share of its width to another."""
    expect_settled(page)
    plot = page.locator(f"{panel} .chart .nsewdrag").first
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    assert box
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * start, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * end, middle, steps=5)
    page.mouse.up()


def test_times_are_local_or_utc_and_said_which(opened: Page, argus: RunningServer) -> None:
    expect(opened.locator("#time-heading")).to_have_text("Time (UTC+01:00)")
    newest = rows(opened).first.locator("button")
    newest_ns = int(argus.sql("SELECT max(timestamp) FROM events")[0][0])
    local = format_instant(newest_ns // 1000 * 1000 + 3600 * 10**9).replace("T", " ").rstrip("Z")
    expect(newest).to_have_text(local)
    opened.get_by_label("From", exact=True).fill("2026-11-21 18:57:32")
    opened.get_by_label("From", exact=True).press("Enter")
    expect(opened).to_have_url(re.compile("from=2026-11-21T17%3A57%3A32Z"))
    after = count(argus, f"timestamp >= {parse_instant_ns('2026-11-21T17:57:32Z')}")
    expect_total(opened, after)
    opened.get_by_role("button", name="Time: local").click()
    expect(opened.locator("#time-heading")).to_have_text("Time (UTC)")
    expect(newest).to_have_text(format_instant(newest_ns // 1000 * 1000).replace("T", " ").rstrip("Z"))
    expect(opened.get_by_label("From", exact=True)).to_have_value("2026-11-21 17:57:32")
    expect(opened.locator("#rate .chart")).to_contain_text("Time (UTC)")
    expect_total(opened, after)


def test_refusals_name_the_field(opened: Page, guard: Guard, dashboard: str) -> None:
    guard.expect("400")
    field = opened.get_by_label("Min duration")
    field.fill("ten")
    field.press("Enter")
    expect(opened.get_by_role("alert")).to_contain_text("min_duration")
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(field).to_have_accessible_description(re.compile("10ms"))
    field.fill("10ms")
    field.press("Enter")
    expect(opened.get_by_role("alert")).to_be_hidden()
    expect(field).not_to_have_attribute("aria-invalid", "true")
    opened.get_by_label("From", exact=True).fill("yesterday")
    opened.get_by_label("From", exact=True).press("Enter")
    expect(opened.locator("#from-wrong")).to_contain_text("“yesterday” is not a time")
    opened.goto(f"{dashboard}/?type=NOPE")
    expect(opened.get_by_role("alert")).to_contain_text("type")
    expect(opened.get_by_role("alert")).to_contain_text("NOPE")
    open_page(opened, dashboard, "?thread_name_regex=(")
    expect(opened.get_by_role("alert")).to_contain_text("thread_name_regex")


def test_keyboard_alone_reaches_an_event_and_its_stack(opened: Page) -> None:
    opened.keyboard.press("Tab")
    expect(opened.get_by_role("link", name="Skip to the content")).to_be_focused()
    opened.keyboard.press("Enter")
    expect(opened.locator("#main")).to_be_focused()
    chip = opened.get_by_role("checkbox", name=re.compile("^PINNED"))
    chip.focus()
    opened.keyboard.press("Space")
    expect(rows(opened).first).to_contain_text("PINNED")
    expect_settled(opened)
    opened.get_by_role("region", name="Events", exact=True).last.focus()
    opened.keyboard.press("Tab")
    first = rows(opened).nth(0).locator("button")
    expect(first).to_be_focused()
    opened.keyboard.press("ArrowDown")
    second = rows(opened).nth(1).locator("button")
    expect(second).to_be_focused()
    opened.keyboard.press("Enter")
    detail = opened.get_by_role("complementary", name="PINNED")
    expect(detail).to_be_focused()
    expect(detail).to_contain_text("java.lang.VirtualThread.parkOnCarrierThread")
    expect(second).to_have_attribute("aria-expanded", "true")
    opened.keyboard.press("Escape")
    expect(detail).to_be_hidden()
    expect(second).to_be_focused()
    stack = opened.locator("#stacks button").first
    stack.focus()
    opened.keyboard.press("Enter")
    expect(stack).to_have_attribute("aria-expanded", "true")
    expect(opened.locator("#stacks tr.whole").first).to_contain_text("java.lang.VirtualThread.run")


def test_every_control_has_a_name(opened: Page) -> None:
    expect_settled(opened)
    nameless = opened.evaluate(
        """() => [...document.querySelectorAll('button, input, select, summary, [role=region], [role=img]')]
          .filter((each) => each.checkVisibility() && !each.classList.contains('unseen'))
          .filter((each) => !(each.getAttribute('aria-label') || each.getAttribute('aria-labelledby')
            || each.labels?.[0]?.textContent.trim() || each.textContent.trim()))
          .map((each) => each.outerHTML)"""
    )
    assert nameless == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_texts_and_marks_stand_out(opened: Page, theme: str) -> None:
    """WCAG 2.2, 1.4.3 and 1.4.11: texts 4.5:1, marks 3:1."""
    opened.emulate_media(color_scheme="dark" if theme == "light" else "light")
    button = opened.locator("#theme-button")
    while button.inner_text() != f"Theme: {theme}":
        button.click()
    colors: dict[str, str] = opened.evaluate(
        """() => Object.fromEntries([...document.styleSheets].flatMap((sheet) => [...sheet.cssRules])
          .filter((rule) => rule.selectorText === ':root').flatMap((rule) => [...rule.style])
          .map((name) => [name, getComputedStyle(document.documentElement).getPropertyValue(name).trim()]))"""
    )
    for text in ("text", "muted", "accent", "bad"):
        for ground in ("surface", "page", "raised", "hover", "chosen"):
            assert contrast(colors[f"--{text}"], colors[f"--{ground}"]) >= 4.5, (text, ground)
    for text, ground in (("bad", "bad-surface"), ("warn", "warn-surface"), ("accent-text", "accent")):
        assert contrast(colors[f"--{text}"], colors[f"--{ground}"]) >= 4.5, (text, ground)
    marks = [name for name in colors if name.startswith("--type-")]
    assert len(marks) == len(EventType.keys()) - 1
    for mark in [*marks, "--field-line", "--focus", "--good"]:
        assert contrast(colors[mark], colors["--surface"]) >= 3, mark


def contrast(one: str, other: str) -> float:
    def luminance(color: str) -> float:
        parts = [int(color[place : place + 2], 16) / 255 for place in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_a_phone_scrolls_down_only(opened: Page) -> None:
    opened.set_viewport_size({"width": 390, "height": 844})
    opened.reload()
    expect_settled(opened)
    rows(opened).first.locator("button").click()
    expect(opened.locator("#detail")).to_be_in_viewport()
    assert opened.evaluate("document.documentElement.scrollWidth") == 390


def test_random_queries_agree_everywhere(opened: Page, argus: RunningServer, dashboard: str) -> None:
    """The strip's total = the chart's sum = PlanExport = rows in the CSV = plain SQL."""
    chance = random.Random(6)
    with ExportClient(argus.address) as client:
        for _ in range(50):
            parameters, query, where = random_query(chance, argus)
            expected = count(argus, where)
            assert client.plan(query).total_events == expected
            assert csv_rows(f"{dashboard}/export?{urlencode(parameters)}") == expected
            opened.evaluate(
                "query => { history.pushState(null, '', query); dispatchEvent(new Event('popstate')) }",
                "?" + urlencode(parameters),
            )
            expect(opened.locator("#main")).to_have_attribute("aria-busy", "false")
            expect(figure(opened, "total")).to_have_text(f"{expected:,}")
            if expected:
                assert drawn_total(opened) == expected
            else:
                expect(opened.locator("#rate .state")).to_be_visible()


def csv_rows(url: str) -> int:
    with urlopen(url) as answer:
        return sum(1 for _ in csv.DictReader(io.TextIOWrapper(answer, encoding="utf-8", newline="")))


def random_query(chance: random.Random, argus: RunningServer) -> tuple[dict[str, str], EventQuery, str]:
    """The same conditions as the page's parameters, an EventQuery and SQL."""
    parameters: dict[str, str] = {}
    arguments: dict[str, object] = {}
    where = ["true"]
    first, last = argus.sql("SELECT min(timestamp), max(timestamp) FROM events")[0]
    if chance.random() < 0.6:
        start, end = sorted(chance.randrange(first, last + 1) for _ in range(2))
        end += 1
        parameters |= {"from": format_instant(start), "to": format_instant(end)}
        arguments |= {"start": start, "end": end}
        where.append(f"timestamp >= {start} AND timestamp < {end}")
    if chance.random() < 0.5:
        names = chance.sample([name.removeprefix("EVENT_TYPE_") for name in EventType.keys()[1:]], 3)
        parameters["type"] = ",".join(name.removeprefix("VIRTUAL_THREAD_") for name in names)
        arguments["types"] = names
        where.append(is_type(*names))
    if chance.random() < 0.3:
        source = chance.choice(["vt21", "vt25", "neither"])
        parameters["source"] = source
        arguments["sources"] = [source]
        where.append(f"source = '{source}'")
    if chance.random() < 0.3:
        text = chance.choice(["pin", "1", "-", "main"])
        parameters["thread_name_contains"] = text
        arguments["thread_name_contains"] = text
        where.append(f"contains(thread_name, '{text}')")
    if chance.random() < 0.3:
        least = chance.choice([1_000, 1_000_000, 100_000_000])
        parameters["min_duration"] = f"{least}ns"
        arguments["min_duration"] = least
        where.append(f"duration_ns >= {least}")
    return parameters, EventQuery(**arguments), " AND ".join(where)  # type: ignore[arg-type]
