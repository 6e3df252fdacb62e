"""What the bench makes of its figures: verdicts, tables, the page and its plot."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.bench.latencies import Latencies
from tests.bench.page import write_page
from tests.bench.report import Report
from tests.bench.rounds import Comparison
from tests.bench.scaling import Program, Scale
from tests.bench.tables import to_tables

MIB = 1024 * 1024


def _scale(rows: int, server_mib: int, client_mib: int) -> Scale:
    programs = (Program([rows / 1e6], [mib * MIB]) for mib in (client_mib, server_mib, 900, 90))
    return Scale(rows, *programs)


@pytest.fixture
def report() -> Report:
    return Report(
        rows=10_000_000,
        runs=3,
        measured_on="2026-01-02",
        machine={"machine": "2 cores"},
        comparisons=[
            Comparison("CSV", "COPY", 10_000_000, [1.0, 2.0, 4.0], [2.0, 3.0, 4.0], min_speed=1.5),
            Comparison("ARROW", "Flight", 10_000_000, [1.0], [0.8], min_speed=0.9),
            Comparison("Ingest", "INSERT", 1_000_000, [2.0], [1.0], min_rows_per_s=350_000),
            Comparison("Ingest, small", "INSERT", 1_000_000, [2.0], [1.0]),
        ],
        latencies=[
            Latencies(1_000_000, 1_000, [0.01], [0.02]),
            Latencies(10_000_000, 1_000, [0.02], [0.02]),
            Latencies(50_000_000, 1_000, [0.04], [0.03]),
        ],
        scales=[
            _scale(1_000_000, 200, 100),
            _scale(5_000_000, 200, 100),
            _scale(10_000_000, 210, 109),
            _scale(50_000_000, 230, 110),
        ],
        likenesses=["CSV: equal bytes."],
    )


def test_speeds_are_of_neighbouring_runs(report: Report) -> None:
    csv = report.comparisons[0]
    assert (csv.speed.median, csv.speed.least, csv.speed.most) == (1.5, 1.0, 2.0)
    assert csv.rows_per_s == 5_000_000


def test_a_target_is_met_missed_or_not_there(report: Report) -> None:
    assert [comparison.is_met for comparison in report.comparisons] == [True, False, True, None]
    assert [wait.is_met for wait in report.waits] == [None, True, None, None, None, True]
    assert [(growth.what, growth.is_met) for growth in report.growths] == [
        ("First batch", False),
        ("A query for 1,000 events", None),
        ("Peak memory of the server, CSV export", False),
        ("Peak memory of the client, CSV export", True),
    ]
    assert report.targets_met == (5, 8)


def test_memory_is_compared_with_that_of_a_tenth_of_the_events(report: Report) -> None:
    growths = {growth.what: growth for growth in report.growths}
    server = growths["Peak memory of the server, CSV export"]
    assert (server.small_rows, server.large_rows, server.ratio.median) == (5_000_000, 50_000_000, 1.15)
    first_batch = growths["First batch"]
    assert (first_batch.small_rows, first_batch.large_rows) == (10_000_000, 50_000_000)


def test_tables_name_each_target_and_whether_it_is_met(report: Report) -> None:
    text = "\n".join(to_tables(report).values())
    lines = [[cell.strip() for cell in line.split("|")] for line in text.splitlines() if line]
    ends = {line[1]: line[-3:-1] for line in lines}
    assert ends["CSV"] == ["≥ 1.5 ×", "yes"]
    assert ends["ARROW"] == ["≥ 0.9 ×", "no"]
    assert ends["Ingest"] == ["≥ 0.35 M events/s", "yes"]
    assert ends["Ingest, small"] == ["–", "–"]
    assert ends["First batch"] == ["≤ 1.5", "no"]


def test_what_was_not_measured_is_left_out(report: Report) -> None:
    speeds_alone = replace(report, latencies=[], scales=[])
    assert list(to_tables(speeds_alone)) == ["Beside its peers"]
    assert speeds_alone.growths == []


def test_a_report_comes_back_from_json(report: Report) -> None:
    assert Report.from_json(json.loads(json.dumps(report.to_json()))) == report


def test_the_page_has_all_and_is_the_same_for_the_same_figures(report: Report, tmp_path: Path) -> None:
    folders = tmp_path / "one", tmp_path / "other"
    for folder in folders:
        folder.mkdir()
        write_page(report, folder)
    pages, plots = ([(f / name).read_text() for f in folders] for name in ("benchmarks.md", "benchmarks.svg"))
    assert pages[0] == pages[1]
    assert plots[0] == plots[1]
    for text in (
        *to_tables(report).values(),
        "5 of 8 targets are met",
        "2026-01-02",
        "2 cores",
        "CSV: equal bytes.",
    ):
        assert text in pages[0]


def test_the_plot_does_without_memory_where_it_cannot_be_read(report: Report, tmp_path: Path) -> None:
    unknown = [
        Scale(
            scale.rows,
            *(
                Program(program.seconds)
                for program in (scale.client, scale.server, scale.ordered, scale.unordered)
            ),
        )
        for scale in report.scales
    ]
    write_page(replace(report, scales=unknown), tmp_path)
    assert "Peak memory of" not in (tmp_path / "benchmarks.md").read_text()
    assert (tmp_path / "benchmarks.svg").stat().st_size
