"""Alternating runs of ours and its peers, and what they say."""

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Spread:
    """The median of some figures, with the least and the most."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, figures: list[float]) -> "Spread":
        return cls(statistics.median(figures), min(figures), max(figures))

    @classmethod
    def of_ratios(cls, figures: list[float], others: list[float]) -> "Spread":
        """Of one over the other, run by run."""
        return cls.of([figure / other for figure, other in zip(figures, others, strict=True)])


@dataclass(frozen=True)
class Comparison:
    """Ours against one peer over alternating runs, in seconds.

    min_speed and min_rows_per_s are what our median should reach, where there is a target.
    """

    what: str
    peer: str
    rows: int
    ours_s: list[float]
    peer_s: list[float]
    min_speed: float | None = None
    min_rows_per_s: float | None = None

    @property
    def speed(self) -> Spread:
        """Our speed over the peer's, run by run: above 1 ours is the faster."""
        return Spread.of_ratios(self.peer_s, self.ours_s)

    @property
    def rows_per_s(self) -> float:
        return self.rows / statistics.median(self.ours_s)

    @property
    def is_met(self) -> bool | None:
        """Whether the targets are reached; None where there is none."""
        pairs = ((self.speed.median, self.min_speed), (self.rows_per_s, self.min_rows_per_s))
        met = [figure >= least for figure, least in pairs if least is not None]
        return all(met) if met else None


@dataclass(frozen=True)
class Peer:
    """Whom to compare with: a run gives its seconds."""

    run: Callable[[], float]
    min_speed: float | None = None


def alternate(
    what: str,
    rows: int,
    runs: int,
    ours: Callable[[], float],
    peers: Mapping[str, Peer],
    tell: Callable[[str], None],
    min_rows_per_s: float | None = None,
) -> list[Comparison]:
    """Runs peer, ours, next peer, and again, and compares ours with each peer.

    Every run gives its seconds. What needs warming up has been run before.
    """
    (first_name, first), *others = peers.items()
    ours_s: list[float] = []
    peers_s: dict[str, list[float]] = {name: [] for name in peers}
    for run in range(runs):
        tell(f"{what}: run {run + 1} of {runs}")
        peers_s[first_name].append(first.run())
        ours_s.append(ours())
        for name, peer in others:
            peers_s[name].append(peer.run())
    return [
        Comparison(what, name, rows, ours_s, peers_s[name], peer.min_speed, min_rows_per_s)
        for name, peer in peers.items()
    ]
