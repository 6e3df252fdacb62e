"""The bench runs to its end; what it finds is not judged here."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench.dataset import CACHE
from tests.processes import ENVIRONMENT

ROWS = 5_000
# Bytecode keeps these tests short: dozens of processes start in them.
BYTECODE = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(CACHE / "bytecode")}


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_a_small_bench_has_every_figure_and_leaves_nothing_behind(tmp_path: Path) -> None:
    figures_file = tmp_path / "figures.json"
    before = set(CACHE.glob("run-*"))
    finished = _bench("--quick", "--rows", str(ROWS), "--runs", "1", "--json", str(figures_file))
    assert finished.returncode == 0, finished.stderr
    assert set(CACHE.glob("run-*")) <= before

    firsts = [line.split("|")[1].strip() for line in finished.stdout.splitlines() if line.startswith("| ")]
    assert firsts == [
        "What",
        *2 * ["CSV file, whole command"],
        *2 * ["JSONL file, whole command"],
        *2 * ["ARROW drained by argus_client"],
        "ROWS drained by a plain stub",
        "CSV file, whole command, with TLS, a token and the audit log",
        "ARROW drained by argus_client, with all three",
        "Ingest, row messages, 1 MiB a request",
        "Ingest, Arrow, 1 MiB a request",
        "Ingest, row messages, 100 events a request",
        "Latency, warm channel",
        *2 * ["First batch of everything, ordered"],
        "A query for 125 events, to the last of them",
        "A query for 1,000 events, to the last of them",
        "Growth with the store",
        "First batch",
        "A query for 1,000 events",
        "Peak memory of the server, CSV export",
        "Peak memory of the client, CSV export",
        "CSV export of so many events",
        "500",
        "5,000",
    ]

    figures = json.loads(figures_file.read_text())
    assert [c["rows"] for c in figures["comparisons"]] == [*9 * [ROWS], 1_000, 1_000, 100]
    assert all(seconds > 0 for c in figures["comparisons"] for seconds in (*c["ours_s"], *c["peer_s"]))
    assert all(latency["first_batch_s"] and latency["selected_s"] for latency in figures["latencies"])
    assert [scale["rows"] for scale in figures["scales"]] == [ROWS // 10, ROWS]
    assert "equal bytes" in figures["likenesses"][0]

    written = _bench("--figures", str(figures_file), "--docs", str(tmp_path))
    assert written.returncode == 0, written.stderr
    assert written.stdout == finished.stdout
    page = (tmp_path / "benchmarks.md").read_text()
    assert all(line in page for line in finished.stdout.splitlines() if line.startswith("| "))
    assert (tmp_path / "benchmarks.svg").exists()


@pytest.mark.parametrize("partial", [["--quick"], ["--only", "csv"]])
def test_the_page_is_not_written_from_a_part(tmp_path: Path, partial: list[str]) -> None:
    refused = _bench("--docs", str(tmp_path), *partial)
    assert refused.returncode == 2
    assert "--docs needs all parts" in refused.stderr
    assert not list(tmp_path.iterdir())


def _bench(*options: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "tests.bench", *options],
        capture_output=True,
        text=True,
        env=ENVIRONMENT | BYTECODE,
        cwd=Path(__file__).parents[2],
        timeout=300,
        check=False,
    )
