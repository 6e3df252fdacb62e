"""Memory does not grow with an export: the resident peaks of server and client at two sizes."""

import sys
from pathlib import Path

import pytest
from pyarrow import parquet

from tests.processes import client_peak_bytes, peak_bytes, server_process
from tests.synthetic import make_store

pytestmark = [
    pytest.mark.duckdb,
    pytest.mark.skipif(sys.platform != "linux", reason="reads peaks from /proc"),
]

MIB = 1024 * 1024
SMALL_ROWS, LARGE_ROWS = 400_000, 2_400_000


@pytest.mark.parametrize(
    ("file", "columns"),
    [
        ("out.csv", "timestamp,thread_name"),
        ("out.jsonl", "all"),
        ("out.parquet", "timestamp,thread_name,stack_trace"),
    ],
)
def test_peaks_stay_flat_as_the_export_grows(tmp_path: Path, file: str, columns: str) -> None:
    small = _peaks_bytes(tmp_path / "small", SMALL_ROWS, file, columns)
    large = _peaks_bytes(tmp_path / "large", LARGE_ROWS, file, columns)
    server_growth, client_growth = large[0] - small[0], large[1] - small[1]
    assert server_growth <= 256 * MIB
    assert client_growth <= 64 * MIB


def _peaks_bytes(folder: Path, rows: int, file: str, columns: str) -> tuple[int, int]:
    """The peaks of server and client for one export of this many rows."""
    make_store(folder / "events.duckdb", rows)
    with server_process(folder / "events.duckdb") as server:
        output = folder / file
        client = client_peak_bytes(
            folder / "status", "export", "--server", server.address, "--columns", columns, "-o", str(output)
        )
        if output.suffix == ".parquet":
            assert parquet.read_metadata(output).num_rows == rows
        else:
            with output.open("rb") as lines:
                assert sum(1 for _ in lines) >= rows
        return peak_bytes(Path(f"/proc/{server.process.pid}/status")), client
