"""The Export dialog in a real browser: what it promises, and what the browser then has on disk."""

import csv
import gzip
import io
import json
import re
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from playwright.sync_api import Browser, Locator, Page, expect
from pyarrow import parquet

from argus_client.cli import commands
from argus_grpc.columns import COLUMNS
from tests.browser.conftest import dashboard_process
from tests.conftest import RunningServer
from tests.quick_server import quick_server
from tests.synthetic import make_store

DEFAULT_COLUMNS = ["timestamp", "event_type", "thread_id", "thread_name", "carrier_thread", "duration_ns"]
EXCEL_MAX_ROWS = 1_048_576
PARQUET_MAGIC = b"PAR1"


def open_dialog(page: Page, address: str, query: str = "") -> Locator:
    page.goto(f"{address}/{query}")
    page.locator("#export-button").click()
    dialog = page.get_by_role("dialog", name="Export Data")
    expect(dialog).to_be_visible()
    return dialog


def ticked(dialog: Locator, name: str) -> list[str]:
    values: list[str] = dialog.locator(f"input[name={name}]:checked").evaluate_all(
        "boxes => boxes.map((box) => box.value)"
    )
    return values


def promised_events(dialog: Locator) -> int:
    """The count that the dialog shows beforehand, once it fits what is asked for."""
    planned = dialog.locator(".planned:not(.stale)")
    expect(planned).to_have_text(re.compile(r"^[\d,]+ events?, "))
    return int((planned.text_content() or "").split()[0].replace(",", ""))


def download(page: Page, dialog: Locator) -> tuple[str, bytes]:
    """The name and the bytes of the file, once the page says that it is whole."""
    with page.expect_download() as started:
        dialog.get_by_role("button", name="Download Export").click()
    expect(dialog.locator(".download")).to_have_attribute("data-state", "whole")
    assert started.value.failure() is None
    return started.value.suggested_filename, started.value.path().read_bytes()


def exported(argus: RunningServer, *arguments: str) -> bytes:
    """What argus-client export writes."""
    result = CliRunner().invoke(commands, ["export", "--server", argus.address, *arguments])
    assert result.exit_code == 0, result.stderr
    return result.stdout_bytes


def without_export_time(data: bytes) -> bytes:
    """Without what differs from export to export."""
    if data.endswith(PARQUET_MAGIC):
        footer_bytes = int.from_bytes(data[-8:-4], "little")
        described = parquet.read_metadata(io.BytesIO(data)).metadata[b"argus_export"]
        data = data[: -8 - footer_bytes] + described
    return re.sub(rb'"(exportedAt|exportId)":\s*"[^"]+"', rb'"\1":""', data)


@pytest.mark.usefixtures("guard")
def test_it_is_at_first_as_in_the_mock_up(page: Page, dashboard: str) -> None:
    dialog = open_dialog(page, dashboard)
    assert ticked(dialog, "format") == ["csv"]
    assert ticked(dialog, "type") == ["START", "END", "PINNED"]
    assert dialog.locator("input[name=from]").input_value() == ""
    assert dialog.locator("input[name=to]").input_value() == ""
    assert not dialog.get_by_label("gzip").is_checked()
    assert not dialog.get_by_label("Excel-safe").is_checked()
    dialog.get_by_role("button", name="Cancel").click()
    expect(dialog).not_to_be_visible()


@pytest.fixture(scope="module")
def kept_open(browser: Browser, dashboard: str) -> Iterator[Locator]:
    """One dialog for many downloads, since a page takes longer to open than a download."""
    with browser.new_context() as context:
        yield open_dialog(context.new_page(), dashboard)


@pytest.mark.parametrize(
    ("format", "options", "arguments"),
    [
        ("csv", [], []),
        ("csv", ["excel"], ["--excel"]),
        ("csv", ["gzip"], ["--compress", "gzip"]),
        ("json", [], []),
        ("jsonl", ["gzip"], ["--compress", "gzip"]),
        ("parquet", [], []),
    ],
)
def test_the_download_is_what_the_command_line_exports(
    kept_open: Locator,
    argus: RunningServer,
    format: str,
    options: list[str],
    arguments: list[str],
) -> None:
    # Only CSV lets all be set.
    kept_open.locator("input[name=format][value=csv]").check()
    for box in kept_open.get_by_role("group", name="File").get_by_role("checkbox").all():
        box.set_checked(box.get_attribute("name") in options)
    kept_open.locator(f"input[name=format][value={format}]").check()
    promised = promised_events(kept_open)
    name, data = download(kept_open.page, kept_open)
    assert name.endswith(f".{format}.gz" if "gzip" in options else f".{format}")
    expected = exported(argus, "--format", format, "--type", "START,END,PINNED", *arguments)
    assert without_export_time(data) == without_export_time(expected)
    assert promised == count_events(format, gzip.decompress(data) if "gzip" in options else data) > 0


def count_events(format: str, data: bytes) -> int:
    if format == "parquet":
        return int(parquet.read_metadata(io.BytesIO(data)).num_rows)
    text = data.decode()
    if format == "json":
        document = json.loads(text)
        assert document["totalEvents"] == len(document["events"])
        return len(document["events"])
    return sum(1 for _ in csv.DictReader(io.StringIO(text))) if format == "csv" else text.count("\n")


def test_the_filters_of_the_page_are_those_of_the_export(
    page: Page, argus: RunningServer, dashboard: str
) -> None:
    [(source,)] = argus.sql("SELECT min(source) FROM events")
    query = "?from=2020-01-01T00:00:00.5Z&to=2030-06-01T12:00:00Z&type=END,GC_PAUSE&min_duration=10ms"
    dialog = open_dialog(page, dashboard, f"{query}&thread_name=*&source={source}")
    assert ticked(dialog, "type") == ["END", "GC_PAUSE"]
    # Berlin's time, with its winter and its summer.
    assert dialog.locator("input[name=from]").input_value() == "2020-01-01 01:00:00.500"
    assert dialog.locator("input[name=to]").input_value() == "2030-06-01 14:00:00"
    others = dialog.get_by_role("group", name="The page’s other filters")
    assert others.get_by_role("checkbox").count() == 3
    promised = promised_events(dialog)
    name, data = download(page, dialog)
    assert name == "argus-export-2020-01-01.csv"
    arguments = "--from 2020-01-01T00:00:00.5Z --to 2030-06-01T12:00Z --type END,GC_PAUSE --min-duration 10ms"
    assert data == exported(argus, *arguments.split(), "--thread-name", "*", "--source", source)
    others.get_by_label("Took at least").uncheck()
    expect(dialog.locator(".planned")).not_to_contain_text(f"{promised:,} event")
    assert promised_events(dialog) > promised


def test_a_range_up_to_now_is_fixed_when_the_dialog_opens(page: Page, dashboard: str) -> None:
    dialog = open_dialog(page, dashboard, "?last=1h")
    for name in ("from", "to"):
        expect(dialog.locator(f"input[name={name}]")).to_have_value(
            re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$")
        )


def test_columns_come_as_they_are_picked_and_ordered(
    page: Page, argus: RunningServer, dashboard: str
) -> None:
    dialog = open_dialog(page, dashboard, "?type=PINNED")
    dialog.get_by_text("Columns:").click()
    chosen = dialog.locator(".chosen-columns code")
    expect(chosen).to_have_text(DEFAULT_COLUMNS)
    dialog.get_by_role("button", name="Take out Thread ID").click()
    dialog.get_by_role("button", name="Add Stack trace").click()
    dialog.get_by_role("button", name="Move Duration (ns) up").click()
    dialog.locator(".chosen-columns li", has_text="stack_trace").drag_to(
        dialog.locator(".chosen-columns li", has_text="event_type")
    )
    picked = ["timestamp", "stack_trace", "event_type", "thread_name", "duration_ns", "carrier_thread"]
    expect(chosen).to_have_text(picked)
    _, data = download(page, dialog)
    assert data == exported(argus, "--type", "PINNED", "--columns", ",".join(picked))
    dialog.get_by_role("button", name="All columns").click()
    expect(chosen).to_have_count(len(COLUMNS))
    dialog.get_by_role("button", name="Default columns").click()
    expect(chosen).to_have_text(DEFAULT_COLUMNS)


def test_it_is_used_by_keyboard_alone(page: Page, argus: RunningServer, dashboard: str) -> None:
    page.goto(f"{dashboard}/?type=PINNED")
    page.locator("#export-button").focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="Export Data")
    expect(dialog.locator("input[value=csv]")).to_be_focused()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert ticked(dialog, "format") == ["jsonl"]
    page.keyboard.press("Tab")
    page.keyboard.type("2020-01-01")
    tab_to(page, dialog.locator("input[name=type][value=GC_PAUSE]"))
    page.keyboard.press("Space")
    tab_to(page, dialog.locator(".columns summary"))
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.press("Alt+ArrowDown")
    expect(dialog.locator(".chosen-columns li:nth-child(2) .column-name")).to_be_focused()
    expect(dialog.locator(".column-picker [role=status]")).to_have_text("Timestamp (UTC): is number 2 of 6")
    with page.expect_download() as started:
        tab_to(page, dialog.get_by_role("button", name="Download Export"))
        page.keyboard.press("Enter")
    data = started.value.path().read_bytes()
    columns = ",".join(["event_type", "timestamp", *DEFAULT_COLUMNS[2:]])
    arguments = ["--from", "2019-12-31T23:00Z", "--type", "PINNED,GC_PAUSE", "--columns", columns]
    assert data == exported(argus, *arguments, "--format", "jsonl")
    page.keyboard.press("Escape")
    expect(dialog).not_to_be_visible()
    expect(page.locator("#export-button")).to_be_focused()


def tab_to(page: Page, target: Locator) -> None:
    for _ in range(100):
        page.keyboard.press("Tab")
        if target.evaluate("element => element === document.activeElement"):
            return
    raise AssertionError(f"{target} is not reached by Tab")


def test_what_does_not_fit_is_said_at_its_field(page: Page, dashboard: str) -> None:
    dialog = open_dialog(page, dashboard)
    start = dialog.get_by_role("button", name="Download Export")
    dialog.locator("input[name=from]").fill("yesterday")
    expect(dialog.locator("#export-from-wrong")).to_contain_text("“yesterday” is not a time")
    expect(start).to_be_disabled()
    dialog.locator("input[name=from]").fill("2024-01-02")
    dialog.locator("input[name=to]").fill("2024-01-01")
    expect(dialog.locator("#export-to-wrong")).to_have_text("To must be after From.")
    expect(start).to_be_disabled()
    dialog.locator("input[name=to]").fill("")
    expect(start).to_be_enabled()
    dialog.get_by_role("button", name="None event types").click()
    expect(dialog.locator("#types-wrong")).to_have_text("Tick at least one type.")
    expect(start).to_be_disabled()


def test_a_refusal_of_the_server_is_shown(page: Page, dashboard: str) -> None:
    dialog = open_dialog(page, dashboard, "?thread_name_regex=(")
    expect(dialog.locator(".problem")).to_contain_text("thread_name_regex: ")
    dialog.get_by_label("Thread name matches (").uncheck()
    expect(dialog.locator(".problem")).not_to_be_visible()
    assert promised_events(dialog) > 0


@pytest.fixture(scope="module")
def many_events(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with as many events as Excel has rows, its header not counted; no server has it open."""
    path = tmp_path_factory.mktemp("many") / "events.duckdb"
    make_store(path, EXCEL_MAX_ROWS)
    return path


@pytest.fixture(scope="module")
def full_dashboard(many_events: Path) -> Iterator[str]:
    with quick_server(many_events) as server, dashboard_process(server.address) as address:
        yield address


def test_more_rows_than_excel_has_are_warned_of(page: Page, full_dashboard: str) -> None:
    dialog = open_dialog(page, full_dashboard)
    warning = dialog.locator(".warning")
    promised_events(dialog)
    expect(warning).not_to_be_visible()
    dialog.get_by_role("button", name="All event types").click()
    expect(warning).to_have_text(
        "Excel opens 1,048,576 rows of a file at most, its header included: 1 event would not be shown there."
    )
    dialog.locator("input[name=format][value=json]").check()
    assert promised_events(dialog) == EXCEL_MAX_ROWS
    expect(warning).not_to_be_visible()


def test_a_download_goes_on_when_the_dialog_is_closed(page: Page, full_dashboard: str) -> None:
    dialog = open_dialog(page, full_dashboard, "?type=END")
    promised = promised_events(dialog)
    with page.expect_download() as started:
        dialog.get_by_role("button", name="Download Export").click()
        page.keyboard.press("Escape")
    at_the_foot = page.locator("body > .download")
    expect(at_the_foot).to_be_visible()
    expect(at_the_foot).to_have_attribute("data-state", "whole")
    expect(at_the_foot).to_contain_text(f"{promised:,} events")
    assert started.value.failure() is None
    with started.value.path().open("rb") as file:
        assert sum(1 for _ in file) == 1 + promised


def test_a_download_that_is_cut_shows_as_failed(page: Page, many_events: Path, tmp_path: Path) -> None:
    copied = shutil.copy(many_events, tmp_path)
    with (
        quick_server(Path(copied)) as server,
        dashboard_process(server.address, "--retry-for-s", "0") as address,
    ):
        dialog = open_dialog(page, address)
        dialog.get_by_role("button", name="All event types").click()
        dialog.get_by_text("Columns:").click()
        dialog.get_by_role("button", name="All columns").click()
        dialog.locator("input[name=format][value=json]").check()
        with page.expect_download() as started:
            dialog.get_by_role("button", name="Download Export").click()
        expect(dialog.locator(".download progress")).to_have_attribute("value", re.compile("^[1-9]"))
        server.stop(signal.SIGKILL)
        panel = dialog.locator(".download")
        expect(panel).to_have_attribute("data-state", "broken")
        expect(panel).to_contain_text("Failed: the file is not whole")
        expect(panel).to_contain_text(re.compile(r"[\d,]+ of 1,048,576 events"))
        assert started.value.failure() is not None
        # What is refused before it begins is no file either, and says why.
        with page.expect_download() as refused:
            dialog.get_by_role("button", name="Download Export").click()
        expect(panel).to_have_attribute("data-state", "refused")
        assert refused.value.failure() is not None
