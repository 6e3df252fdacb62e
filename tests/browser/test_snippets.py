"""What the Export dialog offers to copy: the same export, whatever is typed into the filters."""

import ast
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from playwright.sync_api import Browser, Page

from argus_client import EventQuery
from argus_client.cli.export import export_command
from argus_dashboard.export import EXPORT_PARAMETERS
from argus_dashboard.parameters import parse_query
from argus_dashboard.query_parameters import event_query
from tests.browser.test_dialog import open_dialog, without_export_time
from tests.processes import ENVIRONMENT

# No NUL, which no argument of a program can have.
TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1)
PARAMETERS = st.fixed_dictionaries(
    {},
    optional={
        "from": st.just("2024-01-01T00:00:00.123456789Z"),
        "to": st.just("2024-06-01T00:00:00Z"),
        "type": st.lists(st.sampled_from(["START", "PINNED", "GC_PAUSE"]), min_size=1, unique=True),
        # A * stands only at the end.
        "source": st.lists(
            st.builds(lambda name, end: name.replace("*", "x") + end, TEXTS, st.sampled_from(["", "*"])),
            min_size=1,
            max_size=3,
        ),
        "thread_name_contains": TEXTS,
        "thread_id": st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=3),
        "min_duration": st.just("1h30m"),
        "columns": st.lists(st.sampled_from(["timestamp", "source", "stack_trace"]), min_size=1, unique=True),
        "excel": st.just("true"),
        "compress": st.just("gzip"),
    },
)
MAKE_SNIPPETS = """async (pairs) => {
  const { commandLine, curlLine, fileName, pythonCode } = await import('/static/snippets.js');
  const params = new URLSearchParams(pairs);
  const context = { server: 'localhost:50051', base: 'http://localhost:8080/', file: fileName(params) };
  return [commandLine, curlLine, pythonCode].map((make) => make(params, context));
}"""


@pytest.fixture(scope="module")
def blank(browser: Browser, dashboard: str) -> Iterator[Page]:
    """A page of the dashboard's that shows nothing."""
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(f"{dashboard}/static/icon.svg")
        yield page


def pairs_of(parameters: dict[str, Any]) -> list[tuple[str, str]]:
    pairs = []
    for name, value in parameters.items():
        if name == "source":
            pairs += [(name, text) for text in value]
        else:
            pairs.append((name, ",".join(map(str, value)) if isinstance(value, list) else value))
    return pairs


def arguments_of(line: str) -> list[str]:
    """The arguments that a shell gives the program of a command line."""
    program = shlex.split(line)[0]
    script = f'{program}() {{ printf "%s\\0" "$@"; }}\n{line}'
    return (
        subprocess.run(["bash", "-c", script], capture_output=True, check=True)
        .stdout.decode()
        .split("\0")[:-1]
    )


@settings(max_examples=60, deadline=None)
@example(
    parameters={"source": ["a'b", "$(id)", "-x", "=y", "~", "x,y", "a\nb", "\\"], "thread_name_contains": '"'}
)
@given(parameters=PARAMETERS)
def test_all_three_are_the_request_of_the_download(blank: Page, parameters: dict[str, Any]) -> None:
    pairs = pairs_of(parameters)
    command_line, curl_line, python = blank.evaluate(MAKE_SNIPPETS, pairs)

    *_, output, url = arguments_of(curl_line)
    values = parse_query(urlsplit(url).query.encode(), EXPORT_PARAMETERS)
    assert parse_qsl(urlsplit(url).query, keep_blank_values=True) == pairs
    expected = event_query(values).to_message()
    assert output.endswith(".csv.gz" if "compress" in parameters else ".csv")

    arguments = arguments_of(command_line)
    assert arguments.pop(0) == "export"
    given = export_command.make_context("export", arguments).params
    query = EventQuery(
        **{name: given[name] for name in QUERY_ARGUMENTS}, thread_name_glob=given["thread_name"]
    )
    assert query.to_message() == expected
    assert given["columns"] == values["columns"]
    assert (given["excel"], str(given["output"])) == (values["excel"], output)

    calls = {
        node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id: node
        for node in ast.walk(ast.parse(python))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute | ast.Name)
    }
    assert EventQuery(**keywords(calls["EventQuery"])).to_message() == expected
    assert tuple(keywords(calls["export"]).get("columns", ())) == values["columns"]
    assert ast.literal_eval(calls["write"].args[0]) == output
    assert ("RenderOptions" in calls) == values["excel"]


QUERY_ARGUMENTS = (
    "start",
    "end",
    "types",
    "sources",
    "thread_name_contains",
    "thread_name_regex",
    "thread_ids",
    "carrier_threads",
    "min_duration",
    "max_duration",
)


def keywords(call: ast.Call) -> dict[str, Any]:
    return {keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords if keyword.arg}


def test_what_a_link_wrote_does_not_become_code(blank: Page) -> None:
    _, _, python = blank.evaluate(MAKE_SNIPPETS, [["thread_id", "__import__('os').abort()"]])
    assert """thread_ids=["__import__('os').abort()"]""" in python


@pytest.mark.parametrize("format", ["csv", "json"])
def test_each_of_them_gives_the_bytes_of_the_download(
    page: Page, dashboard: str, tmp_path: Path, format: str
) -> None:
    query = "?from=2020-01-01&thread_name_regex=^(pin|load)&min_duration=10us"
    dialog = open_dialog(page, dashboard, query)
    dialog.locator(f"input[name=format][value={format}]").check()
    dialog.get_by_text("Columns:").click()
    dialog.get_by_role("button", name="All columns").click()
    if format == "csv":
        dialog.get_by_label("Excel-safe").check()
    with page.expect_download() as started:
        dialog.get_by_role("button", name="Download Export").click()
    expected = without_export_time(started.value.path().read_bytes())
    assert len(expected) > 10_000
    dialog.get_by_text("The same export elsewhere").click()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "argus-client").write_text(f'#!/bin/sh\nexec {sys.executable} -m argus_client "$@"\n')
    (programs / "argus-client").chmod(0o755)
    for kind in ("Command line", "curl", "Python"):
        dialog.get_by_label(kind, exact=True).check()
        dialog.get_by_role("button", name="Copy").click()
        copied = page.evaluate("navigator.clipboard.readText()")
        folder = tmp_path / kind
        folder.mkdir()
        program = [sys.executable, "-c"] if kind == "Python" else ["bash", "-c"]
        path = f"{programs}:{ENVIRONMENT['PATH']}"
        subprocess.run(
            [*program, copied], cwd=folder, env=ENVIRONMENT | {"PATH": path}, check=True, capture_output=True
        )
        assert without_export_time((folder / started.value.suggested_filename).read_bytes()) == expected
