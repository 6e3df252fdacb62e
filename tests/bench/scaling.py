"""Time and memory against the number of events: a fresh server and client over one CSV export."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.dataset import cached_store, copied_store, remove_store
from tests.bench.files import copy_arguments, export_arguments
from tests.bench.processes import BenchFailed, argus_server, timed_peak
from tests.processes import peak_bytes


@dataclass(frozen=True)
class Program:
    """What one program took to write the file, run by run.

    `peaks_bytes` of resident memory is empty where there is no /proc to read it from.
    """

    seconds: list[float] = field(default_factory=list)
    peaks_bytes: list[int] = field(default_factory=list)

    def add(self, seconds: float, peak: int | None) -> None:
        self.seconds.append(seconds)
        if peak is not None:
            self.peaks_bytes.append(peak)

    @property
    def median_s(self) -> float:
        return statistics.median(self.seconds)

    @property
    def median_bytes(self) -> float | None:
        return statistics.median(self.peaks_bytes) if self.peaks_bytes else None


@dataclass(frozen=True)
class Scale:
    """All programs at one number of events; a server's seconds are its client's."""

    rows: int
    client: Program = field(default_factory=Program)
    server: Program = field(default_factory=Program)
    ordered: Program = field(default_factory=Program)
    unordered: Program = field(default_factory=Program)


def measure_scaling(
    sizes: Sequence[int], runs: int, folder: Path, tell: Callable[[str], None]
) -> list[Scale]:
    """Every size once a round, each time with a new server.

    Raises BenchFailed if the files are not of one size.
    """
    scales = [Scale(rows) for rows in sizes]
    databases = {rows: copied_store(rows, folder) for rows in sizes}
    for run in range(runs):
        for scale in scales:
            tell(f"time and memory, {scale.rows:,} events: run {run + 1} of {runs}")
            _measure(scale, databases[scale.rows], folder)
    for database in databases.values():
        remove_store(database)
    return scales


def _measure(scale: Scale, database: Path, folder: Path) -> None:
    ours, ordered, unordered = (folder / f"{name}.csv" for name in ("ours", "ordered", "unordered"))
    for file, program in ((ordered, scale.ordered), (unordered, scale.unordered)):
        arguments = copy_arguments(cached_store(scale.rows), file, "csv", is_ordered=file is ordered)
        program.add(*timed_peak(*arguments))
    with argus_server(database) as server:
        seconds, peak = timed_peak(*export_arguments(server.address, ours))
        scale.client.add(seconds, peak)
        status_file = Path(f"/proc/{server.process.pid}/status")
        scale.server.add(seconds, None if peak is None else peak_bytes(status_file))
    sizes_bytes = {file.stat().st_size for file in (ours, ordered, unordered)}
    if len(sizes_bytes) > 1:
        raise BenchFailed(f"CSV files of {scale.rows:,} events are not of one size: {sizes_bytes}")
    for file in folder.glob("*.csv*"):
        file.unlink()
