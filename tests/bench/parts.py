"""The parts of the bench, in the order they run, and how many events each has."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from tests.bench import targets
from tests.bench.committing import IngestBench
from tests.bench.dataset import cached_store, copied_store
from tests.bench.drains import DrainBench
from tests.bench.files import FileBench
from tests.bench.latencies import measure_latencies
from tests.bench.processes import argus_server
from tests.bench.report import Report
from tests.bench.rounds import Comparison
from tests.bench.scaling import measure_scaling
from tests.bench.secured import SecuredBench

_LATENCY_SHARES = (0.1, 1, 5)
_SCALING_SHARES = (0.1, 0.2, 0.5, 1, 2, 5)
_QUICK_SHARES = (0.1, 1)
# Small requests take longest.
_INGEST_SHARES = {"rows": 0.2, "arrow": 0.2, "small": 0.02}
_LATENCY_ROUNDS_PER_RUN = 3

_Found: TypeAlias = tuple[list[Comparison], str]


@dataclass(frozen=True)
class Plan:
    """How many events and runs, a folder for what is written, and where progress is told."""

    rows: int
    runs: int
    is_quick: bool
    folder: Path
    tell: Callable[[str], None]

    @property
    def latency_sizes(self) -> list[int]:
        return self._sizes(_QUICK_SHARES if self.is_quick else _LATENCY_SHARES)

    @property
    def scaling_sizes(self) -> list[int]:
        return self._sizes(_QUICK_SHARES if self.is_quick else _SCALING_SHARES)

    def make_stores(self, parts: Collection[str]) -> None:
        """Makes the stores that are not kept from before."""
        sizes = {self.rows}
        if "latency" in parts:
            sizes.update(self.latency_sizes)
        if "scaling" in parts:
            sizes.update(self.scaling_sizes)
        if "ingest" in parts:
            sizes.update(self._sizes(_INGEST_SHARES.values()))
        for rows in sorted(sizes):
            self.tell(f"{rows:,} synthetic events, made if they are not kept from before")
            cached_store(rows)

    def _sizes(self, shares: Iterable[float]) -> list[int]:
        return [round(self.rows * share) for share in shares]


def measure(plan: Plan, report: Report, parts: Collection[str]) -> None:
    """Runs these parts and adds what they find to the report."""
    if not _OF_ONE_SERVER.keys().isdisjoint(parts):
        with argus_server(copied_store(plan.rows, plan.folder)) as server:
            for name, compare in _OF_ONE_SERVER.items():
                if name not in parts:
                    continue
                comparisons, likeness = compare(plan, server.address)
                report.comparisons.extend(comparisons)
                report.likenesses.append(likeness)
    for name, part in _OF_FRESH_SERVERS.items():
        if name in parts:
            part(plan, report)


def _csv(plan: Plan, address: str) -> _Found:
    bench = _file_bench(plan, address)
    return bench.compare("csv", targets.CSV_SPEED_ORDERED, targets.CSV_SPEED_UNORDERED)


def _jsonl(plan: Plan, address: str) -> _Found:
    return _file_bench(plan, address).compare("jsonl", None, targets.JSONL_SPEED_UNORDERED)


def _arrow(plan: Plan, address: str) -> _Found:
    return _drain_bench(plan, address).compare_arrow()


def _rows(plan: Plan, address: str) -> _Found:
    return _drain_bench(plan, address).compare_rows()


def _secured(plan: Plan, address: str) -> _Found:
    folder = plan.folder / "secured"
    folder.mkdir()
    database = copied_store(plan.rows, folder)
    return SecuredBench(address, database, plan.rows, plan.runs, folder, plan.tell).compare()


def _file_bench(plan: Plan, address: str) -> FileBench:
    database = cached_store(plan.rows)
    return FileBench(address, database, plan.rows, plan.runs, plan.folder, plan.tell)


def _drain_bench(plan: Plan, address: str) -> DrainBench:
    peers_folder = plan.folder / "peers"
    peers_folder.mkdir(exist_ok=True)
    peers_database = copied_store(plan.rows, peers_folder)
    return DrainBench(address, peers_database, plan.rows, plan.runs, plan.folder, plan.tell)


def _ingest(plan: Plan, report: Report) -> None:
    for kind, share in _INGEST_SHARES.items():
        bench = IngestBench(round(plan.rows * share), plan.runs, plan.folder, plan.tell)
        comparisons, likeness = bench.compare(kind)
        report.comparisons.extend(comparisons)
        report.likenesses.append(likeness)


def _latency(plan: Plan, report: Report) -> None:
    rounds = _LATENCY_ROUNDS_PER_RUN * plan.runs
    report.latencies.extend(measure_latencies(plan.latency_sizes, rounds, plan.folder, plan.tell))


def _scaling(plan: Plan, report: Report) -> None:
    report.scales.extend(measure_scaling(plan.scaling_sizes, plan.runs, plan.folder, plan.tell))


_OF_ONE_SERVER: Mapping[str, Callable[[Plan, str], _Found]] = {
    "csv": _csv,
    "jsonl": _jsonl,
    "arrow": _arrow,
    "rows": _rows,
    "secured": _secured,
}
_OF_FRESH_SERVERS: Mapping[str, Callable[[Plan, Report], None]] = {
    "ingest": _ingest,
    "latency": _latency,
    "scaling": _scaling,
}
PARTS = (*_OF_ONE_SERVER, *_OF_FRESH_SERVERS)
