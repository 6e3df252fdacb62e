"""The dashboard's memory does not grow with a download, however it is compressed or read."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.dashboard import dashboard_process, needs_curl
from tests.processes import peak_bytes
from tests.quick_server import quick_server
from tests.synthetic import make_store

pytestmark = [
    needs_curl,
    pytest.mark.skipif(sys.platform != "linux", reason="reads peaks from /proc"),
]

MIB = 1024 * 1024
SMALL_ROWS, LARGE_ROWS = 200_000, 1_600_000


@pytest.mark.parametrize("query", ["columns=timestamp,thread_name", "format=jsonl&columns=all"])
def test_peaks_stay_flat_as_the_download_grows(tmp_path: Path, query: str) -> None:
    small = _peak_bytes(tmp_path / "small", SMALL_ROWS, query)
    large = _peak_bytes(tmp_path / "large", LARGE_ROWS, query)
    assert large - small <= 64 * MIB


def _peak_bytes(folder: Path, rows: int, query: str) -> int:
    """The dashboard's peak for one download of this many rows."""
    folder.mkdir()
    make_store(folder / "events.duckdb", rows)
    with (
        quick_server(folder / "events.duckdb") as server,
        dashboard_process(folder, server.address) as dashboard,
        subprocess.Popen(
            ["curl", "--silent", f"{dashboard.url}/export?{query}"], stdout=subprocess.PIPE
        ) as reader,
    ):
        assert reader.stdout is not None
        lines = sum(1 for _ in reader.stdout)
        assert reader.wait() == 0
        assert lines >= rows
        return peak_bytes(Path(f"/proc/{dashboard.process.pid}/status"))
