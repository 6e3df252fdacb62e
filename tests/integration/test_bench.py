"""The bench runs to its end; what it finds is not judged here."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench.dataset import CACHE
from tests.processes import ENVIRONMENT

ROWS = 20_000


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_a_small_bench_prints_every_figure_and_leaves_nothing_behind(tmp_path: Path) -> None:
    figures_file = tmp_path / "figures.json"
    # Bytecode keeps this test short: a dozen processes start in it.
    bytecode = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(CACHE / "bytecode")}
    before = set(CACHE.glob("run-*"))
    finished = subprocess.run(
        [sys.executable, "-m", "tests.bench", "--rows", str(ROWS), "--runs", "1", "--json", figures_file],
        capture_output=True,
        text=True,
        env=ENVIRONMENT | bytecode,
        cwd=Path(__file__).parents[2],
        timeout=120,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    assert set(CACHE.glob("run-*")) <= before

    rows = [line.split("|")[1].strip() for line in finished.stdout.splitlines() if line.startswith("| ")]
    assert rows == [
        "What",
        *2 * ["CSV file, whole command"],
        *2 * ["JSONL file, whole command"],
        "ARROW drained",
        "ROWS drained by a plain stub, 20,000 events",
        "First batch, ordered",
        "Peak memory, CSV export",
        "server",
        "client",
    ]

    figures = json.loads(figures_file.read_text())
    assert [comparison["rows"] for comparison in figures["comparisons"]] == [ROWS] * 5
    assert all(seconds > 0 for c in figures["comparisons"] for seconds in (*c["ours_s"], *c["peer_s"]))
    assert figures["first_batch_s"]
    assert [peaks["rows"] for peaks in figures["peaks"]] == [ROWS // 10, ROWS]
    assert "equal bytes" in figures["likenesses"][0]
