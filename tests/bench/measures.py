"""What is measured, one function a part of the table."""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from argus_client import ExportClient
from tests.bench.copy_sql import copy_sql
from tests.bench.equality import Content, first_difference
from tests.bench.processes import BenchFailed, flight_server, run_module, timed_module
from tests.bench.rounds import Comparison, alternate
from tests.processes import client_peak_bytes, peak_bytes, server_process

COPY_ORDERED, COPY_UNORDERED = "DuckDB COPY, ordered", "DuckDB COPY, unordered"
FLIGHT = "Flight, ready-made batches"

# DuckDB's name for JSON Lines is json.
_COPY_FORMATS = {"csv": "csv", "jsonl": "json"}


@dataclass(frozen=True)
class Bench:
    """What every measure needs: a server (at `address`) and a database for peers with the same
    `rows` events, a folder for what is written, the number of runs, and where progress is told."""

    address: str
    database: Path
    rows: int
    runs: int
    folder: Path
    tell: Callable[[str], None]

    def compare_files(self, format: str) -> tuple[list[Comparison], str]:
        """The whole command that writes a file against COPY, and how alike the files are.

        Raises BenchFailed if the files do not hold the same.
        """
        ours = self.folder / f"ours.{format}"
        ordered, unordered = (self.folder / f"{name}.{format}" for name in ("ordered", "unordered"))

        def export() -> float:
            ours.unlink(missing_ok=True)
            return timed_module("argus_client", "export", "--server", self.address, "-o", str(ours))

        def copy(file: Path) -> float:
            file.unlink(missing_ok=True)
            sql = copy_sql(file, _COPY_FORMATS[format], is_ordered=file is ordered)
            return timed_module("tests.bench.copy_process", str(self.database), sql, str(file))

        self.tell(f"{format}: warm-up, and whether the files are equal")
        export()
        copy(ordered)
        copy(unordered)
        likeness = _likeness(format, ours, ordered, unordered)
        comparisons = alternate(
            f"{format.upper()} file, whole command",
            self.rows,
            self.runs,
            export,
            {COPY_ORDERED: lambda: copy(ordered), COPY_UNORDERED: lambda: copy(unordered)},
            self.tell,
        )
        for file in (ours, ordered, unordered):
            file.unlink()
        return comparisons, likeness

    def compare_drains(self) -> list[Comparison]:
        """The Arrow batches drained by our client against the same batches drained from Flight."""
        self.tell("arrow: the batches for Flight, and warm-up")
        batches = self.folder / "batches.arrow"
        with ExportClient(self.address) as client, client.export() as export:
            first = next(all_batches := iter(export))
            with pa.ipc.new_file(batches, first.schema) as writer:
                writer.write_batch(first)
                for batch in all_batches:
                    writer.write_batch(batch)
        with flight_server(batches) as location:

            def ours() -> float:
                return self._drain_s("arrow", self.address, self.rows)

            def peer() -> float:
                return self._drain_s("flight", location, self.rows)

            peer()
            ours()
            comparisons = alternate("ARROW drained", self.rows, self.runs, ours, {FLIGHT: peer}, self.tell)
        batches.unlink()
        return comparisons

    def drain_rows(self, rows: int) -> list[float]:
        """Seconds to drain so many events in ROWS encoding with a plain stub."""
        self.tell("rows: drained with a plain stub")
        self._drain_s("rows", self.address, rows)
        return [self._drain_s("rows", self.address, rows) for _ in range(self.runs)]

    def first_batch(self) -> list[float]:
        """Seconds to the first batch of an ordered export of everything, on a warm channel."""
        self.tell("first batch")
        count = 3 * self.runs
        # The first is the warm-up.
        answer = json.loads(run_module("tests.bench.drain", "first-batch", self.address, str(count + 1)))
        return [float(latency_s) for latency_s in answer["seconds"][1:]]

    def _drain_s(self, kind: str, address: str, rows: int) -> float:
        answer = json.loads(run_module("tests.bench.drain", kind, address, str(rows)))
        if answer["rows"] != rows:
            raise BenchFailed(f"{kind}: {answer['rows']:,} events came, not {rows:,}")
        return float(answer["seconds"][0])


@dataclass(frozen=True)
class Peaks:
    """The resident peaks of a fresh server and a client over one CSV export."""

    rows: int
    server_bytes: int
    client_bytes: int


def measure_peaks(database: Path, rows: int, folder: Path) -> Peaks | None:
    """The peaks over a CSV export of a database; None where there is no /proc to read them from.

    `database` is written to by the server.
    """
    if sys.platform != "linux":
        return None
    file = folder / "peaks.csv"
    with server_process(database) as server:
        arguments = ("export", "--server", server.address, "-o", str(file))
        client_bytes = client_peak_bytes(folder / "status", *arguments)
        server_bytes = peak_bytes(Path(f"/proc/{server.process.pid}/status"))
    file.unlink()
    return Peaks(rows, server_bytes, client_bytes)


def _likeness(format: str, ours: Path, ordered: Path, unordered: Path) -> str:
    contents = [Content.of(file) for file in (ours, ordered, unordered)]
    if contents[0].sha256 != contents[1].sha256:
        raise BenchFailed(f"the files are not equal; {first_difference(ours, ordered)}")
    if contents[0].lines != contents[2].lines:
        raise BenchFailed(f"{ours.name} and {unordered.name} do not have the same lines")
    sizes = f"{ours.stat().st_size / 1e6:,.1f} MB against {ordered.stat().st_size / 1e6:,.1f} MB"
    how = "equal bytes" if format == "csv" else "equal bytes once COPY's null members are left out"
    return f"{format.upper()}: {how} ({sizes}); unordered COPY has the same lines in another order."
