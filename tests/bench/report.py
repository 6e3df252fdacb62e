"""The figures, what follows from them, and both as JSON."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from tests.bench import targets
from tests.bench.latencies import Latencies
from tests.bench.rounds import Comparison, Spread
from tests.bench.scaling import Program, Scale

# The smaller of two sizes that are compared is at least the larger over this.
_PEAKS_COMPARED_OVER = 10


@dataclass(frozen=True)
class Growth:
    """What more events cost: the same figures, run by run, at two sizes."""

    what: str
    small_rows: int
    large_rows: int
    small: list[float]
    large: list[float]
    unit: str
    max_ratio: float | None

    @property
    def ratio(self) -> Spread:
        return Spread.of_ratios(self.large, self.small)

    @property
    def is_met(self) -> bool | None:
        return None if self.max_ratio is None else self.ratio.median <= self.max_ratio


@dataclass(frozen=True)
class Wait:
    """The seconds that something took in a store of so many events."""

    what: str
    rows: int
    seconds: list[float]
    max_s: float | None

    @property
    def is_met(self) -> bool | None:
        return None if self.max_s is None else Spread.of(self.seconds).median < self.max_s


@dataclass
class Report:
    """All that was found out; empty where it was not measured."""

    rows: int
    runs: int
    measured_on: str
    machine: dict[str, str]
    comparisons: list[Comparison] = field(default_factory=list)
    latencies: list[Latencies] = field(default_factory=list)
    scales: list[Scale] = field(default_factory=list)
    likenesses: list[str] = field(default_factory=list)

    @property
    def targets_met(self) -> tuple[int, int]:
        """How many targets are met, of how many."""
        verdicts = [
            *(comparison.is_met for comparison in self.comparisons),
            *(wait.is_met for wait in self.waits),
            *(growth.is_met for growth in self.growths),
        ]
        return verdicts.count(True), len(verdicts) - verdicts.count(None)

    @property
    def waits(self) -> list[Wait]:
        """First batches by size, then queries by size."""
        first_batches = [
            Wait(
                "First batch of everything, ordered",
                latencies.rows,
                latencies.first_batch_s,
                targets.FIRST_BATCH_S if latencies.rows == self.rows else None,
            )
            for latencies in self.latencies
        ]
        queries = [
            Wait(
                f"A query for {latencies.selected_rows:,} events, to the last of them",
                latencies.rows,
                latencies.selected_s,
                targets.SELECTED_S if latencies is self.latencies[-1] else None,
            )
            for latencies in self.latencies
        ]
        return first_batches + queries

    @property
    def growths(self) -> list[Growth]:
        """The first batch between the two largest sizes; a query between the smallest and the largest;
        peak memory between the largest and a tenth of it."""
        found = []
        if len(self.latencies) > 1:
            first, last, before = self.latencies[0], self.latencies[-1], self.latencies[-2]
            found = [
                Growth(
                    "First batch",
                    before.rows,
                    last.rows,
                    before.first_batch_s,
                    last.first_batch_s,
                    "ms",
                    targets.FIRST_BATCH_GROWTH,
                ),
                Growth(
                    f"A query for {last.selected_rows:,} events",
                    first.rows,
                    last.rows,
                    first.selected_s,
                    last.selected_s,
                    "ms",
                    None,
                ),
            ]
        if len(self.scales) > 1:
            large = self.scales[-1]
            small = next(s for s in self.scales if s.rows * _PEAKS_COMPARED_OVER >= large.rows)
            for name in ("server", "client"):
                peaks: list[list[int]] = [getattr(scale, name).peaks_bytes for scale in (small, large)]
                if all(peaks):
                    found.append(
                        Growth(
                            f"Peak memory of the {name}, CSV export",
                            small.rows,
                            large.rows,
                            [float(peak) for peak in peaks[0]],
                            [float(peak) for peak in peaks[1]],
                            "MiB",
                            targets.PEAK_GROWTH,
                        )
                    )
        return found

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, figures: Mapping[str, Any]) -> Self:
        """The report that to_json made this of."""
        known = dict(figures)
        known["comparisons"] = [Comparison(**comparison) for comparison in figures["comparisons"]]
        known["latencies"] = [Latencies(**latencies) for latencies in figures["latencies"]]
        known["scales"] = [
            Scale(scale.pop("rows"), **{name: Program(**program) for name, program in scale.items()})
            for scale in map(dict, figures["scales"])
        ]
        return cls(**known)
