"""The page's own arithmetic, against argus_client's and Python's."""

import random
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page

from argus_client.times import format_duration, format_instant, parse_duration_ns, parse_instant_ns
from tests.browser.conftest import dashboard_process

EDGES_NS = [0, 1, -1, 999_999_999, -999_999_999, 10**18, -(10**18), 1_711_846_799_999_999_999]
CHANCE = random.Random(6)
INSTANTS_NS = [*EDGES_NS, *(CHANCE.randrange(-(10**18), 4 * 10**18) for _ in range(200))]


@pytest.fixture(scope="module")
def dashboard() -> Iterator[str]:
    """A dashboard for its files alone: its server is nowhere."""
    with dashboard_process("127.0.0.1:1") as address:
        yield address


@pytest.fixture
def module(page: Page, dashboard: str) -> Page:
    """A page of the dashboard's that runs nothing by itself."""
    page.goto(f"{dashboard}/static/icon.svg")
    return page


def run(page: Page, script: str, argument: Any) -> Any:
    """What an asynchronous function of the page's modules makes of an argument; integers go as text."""
    return page.evaluate(
        "async ([script, argument]) => {"
        "  const time = await import('/static/time.js');"
        "  const buckets = await import('/static/buckets.js');"
        "  const state = await import('/static/state.js');"
        f"  return ({script})(argument);"
        "}",
        [script, argument],
    )


def test_instants_are_read_and_written_as_the_client_does(module: Page) -> None:
    written = run(
        module, "all => all.map(ns => time.formatInstant(BigInt(ns)))", [str(ns) for ns in INSTANTS_NS]
    )
    assert written == [format_instant(ns) for ns in INSTANTS_NS]
    texts = [*written, "2024-01-31", "2024-02-29 08:30", "2024-01-31T08:30:00.5+05:30", "0001-01-01"]
    read = run(module, "all => all.map(text => String(time.parseInstant(text)))", texts)
    assert [int(ns) for ns in read] == [parse_instant_ns(text) for text in texts]


@pytest.mark.parametrize("text", ["2024-13-01", "2023-02-29", "2024-01-31T24:00:00", "now", "", "1.2.2024"])
def test_what_is_no_instant_is_refused(module: Page, text: str) -> None:
    refuses = "text => { try { time.parseInstant(text); return false } catch { return true } }"
    assert run(module, refuses, text)


def test_durations_are_read_and_written_as_the_client_does(module: Page) -> None:
    lengths = [0, 1, 1_500, 90 * 10**9, 86_400 * 10**9, *(10**power for power in range(19))]
    written = run(
        module, "all => all.map(ns => time.formatDuration(BigInt(ns)))", [str(ns) for ns in lengths]
    )
    assert [parse_duration_ns(text) for text in written] == lengths
    assert written[1:] == [format_duration(ns) for ns in lengths[1:]]
    texts = ["10ms", "1.5s", "1h30m", "250us", "7d", "0.000000001s", "3 m"]
    read = run(module, "all => all.map(text => String(time.parseDuration(text)))", texts)
    assert [int(ns) for ns in read] == [parse_duration_ns(text) for text in texts]


def test_bars_cover_the_range_and_are_few(module: Page) -> None:
    for _ in range(100):
        start = CHANCE.randrange(-(10**18), 10**18)
        end = start + CHANCE.choice([1, 10**6, 10**9, 10**12, 10**15, 10**18]) * CHANCE.randrange(1, 10)
        bars = CHANCE.randrange(30, 161)
        width, low, high = (
            int(number)
            for number in run(
                module,
                "([start, end, bars]) => {"
                "  const width = buckets.bucketWidth(BigInt(start), BigInt(end), bars);"
                "  const whole = buckets.wholeBuckets(BigInt(start), BigInt(end), width);"
                "  return [width, whole.start, whole.end].map(String) }",
                [str(start), str(end), bars],
            )
        )
        assert low <= start < low + width
        assert high - width < end <= high
        assert low % width == high % width == 0
        assert (high - low) // width <= bars + 2


def test_edges_of_durations_enclose_all_and_are_few(module: Page) -> None:
    for least in [0, 1, 2, 999, 1_000, 10**9, 10**15]:
        for most in [0, 1, 1_000, 31_622, 10**6, 10**9 - 1, 10**12, 2**63 - 1025]:
            if most < least:
                continue
            edges = run(
                module, "([least, most]) => buckets.durationEdges(least, most)", [float(least), float(most)]
            )
            assert edges[0] <= least
            assert edges[-1] > most
            assert edges == sorted(set(edges))
            assert 2 <= len(edges) <= 21


def test_a_url_holds_the_whole_state(module: Page) -> None:
    state = {
        "from": "2024-01-01T00:00:00Z",
        "to": "2024-01-02T00:00:00Z",
        "last": "",
        "types": ["START", "GC_PAUSE"],
        "sources": ["a,b", "c&d=e"],
        "threadName": "päge [a-z]*%",
        "threadNameMode": "glob",
        "minDuration": "10ms",
        "maxDuration": "1s",
        "threadIds": ["7", "8"],
        "carrierThreads": ["3"],
        "live": False,
    }
    again = "given => state.fromParams(new URLSearchParams(state.toParams(given).toString()))"
    assert run(module, again, state) == state
    long = "text => state.fromParams(new URLSearchParams(text)).types"
    assert run(module, long, "type=virtual_thread_start,pinned&type=START") == ["START", "PINNED"]
