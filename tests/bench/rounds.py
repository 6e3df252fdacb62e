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


@dataclass(frozen=True)
class Comparison:
    """Ours against one peer over alternating runs, in seconds."""

    what: str
    peer: str
    rows: int
    ours_s: list[float]
    peer_s: list[float]

    @property
    def ratio(self) -> Spread:
        """Our time over the peer's, run by run: below 1 ours is the faster."""
        return Spread.of([ours / peer for ours, peer in zip(self.ours_s, self.peer_s, strict=True)])


def alternate(
    what: str,
    rows: int,
    runs: int,
    ours: Callable[[], float],
    peers: Mapping[str, Callable[[], float]],
    tell: Callable[[str], None],
) -> list[Comparison]:
    """Runs peer, ours, next peer, and again, and compares ours with each peer.

    Every run gives its seconds. What needs warming up has been run before.
    """
    (first_name, first), *others = peers.items()
    ours_s: list[float] = []
    peers_s: dict[str, list[float]] = {name: [] for name in peers}
    for run in range(runs):
        tell(f"{what}: run {run + 1} of {runs}")
        peers_s[first_name].append(first())
        ours_s.append(ours())
        for name, peer in others:
            peers_s[name].append(peer())
    return [Comparison(what, name, rows, ours_s, peer_s) for name, peer_s in peers_s.items()]
