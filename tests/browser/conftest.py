"""A real browser on a real dashboard of a real server that holds two real recordings."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Request,
    expect,
    sync_playwright,
)

from tests import dashboard
from tests.conftest import RunningServer, start_server
from tests.jfr_oracle import DATA, RECORDINGS
from tests.processes import ENVIRONMENT

expect.set_options(timeout=15_000)


@contextmanager
def dashboard_process(server_address: str, *flags: str) -> Iterator[str]:
    """argus-dashboard on a free port; its http://HOST:PORT once it is ready. Killed at the end."""
    with (
        tempfile.TemporaryDirectory() as folder,
        dashboard.dashboard_process(Path(folder), server_address, *flags) as process,
    ):
        yield process.url


@pytest.fixture(scope="session")
def recordings_db(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with the events of both recordings, to be copied; no server has it open."""
    folder = tmp_path_factory.mktemp("recordings")
    for running in start_server(folder):
        command = [sys.executable, "-m", "argus_client", "ingest", "--server", running.address]
        command += [str(DATA / f"{name}.jfr") for name in RECORDINGS]
        subprocess.run(command, env=ENVIRONMENT, check=True)
    return folder / "events.duckdb"


@pytest.fixture(scope="module")
def argus(recordings_db: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server with the events of both recordings, for the tests of one module."""
    folder = tmp_path_factory.mktemp("argus")
    shutil.copy(recordings_db, folder)
    yield from start_server(folder)


@pytest.fixture(scope="module", name="dashboard")
def _dashboard(argus: RunningServer) -> Iterator[str]:
    """The address of a dashboard of `argus`."""
    with dashboard_process(argus.address) as address:
        yield address


# Not for the session: while Playwright runs, other tests in its process cannot run an event loop.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("the program chromium is not installed")
    with sync_playwright() as playwright:
        # As root, as containers are, Chromium does not start with its sandbox.
        flags = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=chromium, headless=True, args=flags)
        yield browser
        browser.close()


class Guard:
    """What a page must not do: say errors in the console, or ask another host."""

    def __init__(self, page: Page) -> None:
        self.errors: list[str] = []
        self.expected: list[str] = []
        self._hosts: set[str] = set()
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self.errors.append(f"uncaught: {error}"))
        page.on("request", self._on_request)

    def expect(self, text: str) -> None:
        """Lets console errors with this text pass, such as of a request that is meant to be refused."""
        self.expected.append(text)

    def check(self) -> None:
        unexpected = [error for error in self.errors if not any(text in error for text in self.expected)]
        assert not unexpected
        assert len(self._hosts) <= 1

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.errors.append(f"{message.text} ({message.location.get('url')})")

    def _on_request(self, request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme not in {"data", "blob"}:
            self._hosts.add(parts.netloc)


@pytest.fixture(scope="module")
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A browser in Berlin, wide and light. One for all tests of a file, since its cache has plotly then."""
    context = browser.new_context(
        viewport={"width": 1400, "height": 1000}, timezone_id="Europe/Berlin", color_scheme="light"
    )
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    """An empty page, with nothing kept from another test's."""
    page = context.new_page()
    page.add_init_script("sessionStorage.started ?? localStorage.clear(); sessionStorage.started = 1")
    yield page
    page.close()


@pytest.fixture
def guard(page: Page) -> Iterator[Guard]:
    """Fails the test at its end if the page said errors in the console or asked another host."""
    guard = Guard(page)
    yield guard
    guard.check()


def open_page(page: Page, address: str, query: str = "") -> None:
    """Opens the dashboard with this query, and waits until all of it is shown."""
    page.goto(f"{address}/{query}")
    expect(page.locator("#main")).to_have_attribute("aria-busy", "false")
