"""Signing in on the page, and what people of different roles then see."""

import csv
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import Guard, dashboard_process
from tests.people import WRONG, People, start_people

REFUSED = "401 (Unauthorized)"


@pytest.fixture(scope="module")
def people(recordings_db: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[People]:
    """A server that asks who calls, with the events of both recordings."""
    folder = tmp_path_factory.mktemp("people")
    shutil.copy(recordings_db, folder)
    yield from start_people(folder)


@pytest.fixture(scope="module")
def address(people: People) -> Iterator[str]:
    with dashboard_process(people.server.address) as address:
        yield address


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page of somebody who is not signed in."""
    with browser.new_context(viewport={"width": 1400, "height": 1000}) as context:
        yield context.new_page()


def sign_in(page: Page, token: str) -> None:
    """By keyboard alone."""
    expect(page.get_by_label("Access token")).to_be_focused()
    page.keyboard.type(token)
    page.keyboard.press("Enter")


def test_a_person_signs_in_looks_exports_and_signs_out(
    people: People, address: str, page: Page, guard: Guard, tmp_path: Path
) -> None:
    guard.expect(REFUSED)
    page.goto(f"{address}/?type=PINNED&thread_name_contains=%5C%27%26")
    expect(page).to_have_url(
        f"{address}/login?next=%2F%3Ftype%3DPINNED%26thread_name_contains%3D%255C%2527%2526"
    )

    sign_in(page, WRONG)
    expect(page.get_by_role("alert")).to_contain_text("wrong, expired or revoked")
    expect(page.get_by_label("Access token")).to_have_value("")
    token = people.token("reader")
    sign_in(page, token)
    # Back at the same view.
    expect(page).to_have_url(f"{address}/?type=PINNED&thread_name_contains=%5C%27%26")

    page.goto(f"{address}/?type=PINNED")
    expect(page.locator("#main")).to_have_attribute("aria-busy", "false")
    expect(page.locator("#signed-in")).to_contain_text("Signed in: token ")
    expect(page.locator("#figure-total .value")).to_have_text("700")

    page.get_by_role("button", name="Export…").click()
    page.get_by_text("The same export elsewhere").click()
    page.get_by_role("radio", name="curl").check()
    line = page.locator(".snippets code").inner_text()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download Export").click()
    path = tmp_path / "file.csv"
    download.value.save_as(path)
    with path.open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 700
    subprocess.run(["sh", "-c", line], cwd=tmp_path, env=os.environ | {"ARGUS_TOKEN": token}, check=True)
    [other] = tmp_path.glob("argus-export-*.csv")
    assert other.read_bytes() == path.read_bytes()
    expect(page.locator(".download")).to_contain_text("700")
    page.keyboard.press("Escape")

    page.get_by_role("button", name="Sign out").click()
    expect(page).to_have_url(f"{address}/login")
    page.go_back()
    expect(page.get_by_label("Access token")).to_be_visible()
    assert page.context.cookies() == []


def test_a_role_without_columns_is_told_so(people: People, address: str, page: Page, guard: Guard) -> None:
    guard.expect("403 (Forbidden)")
    page.goto(f"{address}/login")
    sign_in(page, people.token("writer"))
    refused = page.get_by_role("region", name="Your role shows nothing here")
    expect(refused).to_be_visible()
    expect(refused).to_contain_text("writer")
    expect(page.locator("#filters")).to_be_hidden()
    refused.get_by_role("button", name="Sign in with another token").click()
    sign_in(page, people.token("reader"))
    expect(page.locator("#main")).to_have_attribute("aria-busy", "false")
    expect(page.locator("#figure-total .value")).not_to_have_text("0")


@pytest.mark.usefixtures("guard")
def test_a_role_sees_its_part_and_no_more(people: People, address: str, page: Page) -> None:
    page.goto(f"{address}/login")
    sign_in(page, people.token("narrow"))
    expect(page.locator("#main")).to_have_attribute("aria-busy", "false")
    # No filter, figure or panel of what there is not, and no error either: the guard has seen none.
    expect(page.locator("#types .chip")).to_have_text([r"START21,680", "END21,680"])
    expect(page.locator("#source-menu")).to_be_hidden()
    expect(page.get_by_label("Thread name", exact=True)).to_be_disabled()
    expect(page.locator("#figure-pinned .hint")).to_have_text("not shown to you")
    expect(page.locator("#stacks .state")).to_have_text("Your role does not show this.")
    headings = page.locator("#events-table th:visible")
    expect(headings).to_have_count(5)
    expect(page.locator("#events-body tr").first.locator(".thread")).to_contain_text("hidden")

    page.locator("#events-body button").first.click()
    expect(page.locator("#detail")).to_contain_text("hidden from your role")
    page.get_by_role("button", name="Export…").click()
    page.get_by_text("Columns:").click()
    expect(page.locator(".chosen-columns")).to_contain_text("hidden from your role: empty")
    expect(page.get_by_role("button", name="Add Stack trace")).to_have_count(0)
    expect(page.locator(".planned")).to_contain_text("43,360 events")


def test_a_session_that_ends_leads_to_the_sign_in(
    people: People, address: str, page: Page, guard: Guard
) -> None:
    guard.expect(REFUSED)
    token = people.token("reader")
    page.goto(f"{address}/login?next=/?live=1")
    sign_in(page, token)
    expect(page.locator("#live-label")).to_have_text("Live")
    people.revoke(token)
    # The server ends what is followed, and takes the token no more.
    expect(page.get_by_label("Access token")).to_be_visible(timeout=30_000)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1400, 390])
def test_the_sign_in_fits(address: str, page: Page, guard: Guard, scheme: str, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    page.goto(f"{address}/login")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background == {"light": "rgb(244, 246, 248)", "dark": "rgb(15, 19, 24)"}[scheme]
    guard.check()
