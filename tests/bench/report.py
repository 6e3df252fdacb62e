"""The figures as tables for people, and as JSON."""

import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from rich import box
from rich.console import Console
from rich.table import Table

from tests.bench.measures import Peaks
from tests.bench.rounds import Comparison, Spread

MIB = 1024 * 1024
# What the design promises of an export of ten times the events.
SERVER_GROWTH_ALLOWED_BYTES, CLIENT_GROWTH_ALLOWED_BYTES = 256 * MIB, 64 * MIB

_NOTES = (
    "Time ours/peer: the median of the ratios run by run; below 1 ours is the faster.",
    "Files: seconds from a process's start to its exit, the file synced to disk. argus-server is running "
    "and shares the cores with its client; DuckDB has all cores and its default memory limit.",
    "Drains: seconds in a process that is up, connecting counted in. Flight sends ready-made batches out "
    "of memory, the very ones that argus-server sent: it neither reads nor sorts nor encodes.",
)


@dataclass(frozen=True)
class Report:
    """All that was found out."""

    rows: int
    runs: int
    machine: Mapping[str, str]
    comparisons: list[Comparison]
    first_batch_s: list[float]
    rows_drained: int
    rows_drain_s: list[float]
    peaks: list[Peaks]
    likenesses: list[str]

    def to_json(self) -> dict[str, object]:
        """Every figure, and of each comparison also the ratio's spread."""
        comparisons = [asdict(c) | {"ratio": asdict(c.ratio)} for c in self.comparisons]
        return asdict(self) | {"comparisons": comparisons}

    def show(self) -> None:
        """Prints it: drawn on a terminal, else Markdown."""
        # Where nobody knows the width, lines are not to be broken.
        console = Console(width=None if sys.stdout.isatty() else 400, highlight=False, markup=False)
        with console.capture() as capture:
            for name, value in self.machine.items():
                console.print(f"- {name}: {value}")
            console.print(f"- events: {self.rows:,}; alternating runs: {self.runs}; medians (least–most)")
            console.print(self._speeds())
            if self.peaks:
                console.print(self._memory())
            for note in (*_NOTES, *self.likenesses):
                console.print(f"- {note}")
        for line in capture.get().splitlines():
            print(line.rstrip())

    def _speeds(self) -> Table:
        table = _table("What", "Peer", "Peer", "Ours", "Ours, events/s", "Time ours/peer")
        for comparison in self.comparisons:
            ours, ratio = Spread.of(comparison.ours_s), comparison.ratio
            table.add_row(
                comparison.what,
                comparison.peer,
                _seconds(Spread.of(comparison.peer_s)),
                _seconds(ours),
                _rate(comparison.rows, ours),
                f"{ratio.median:.2f} ({ratio.least:.2f}–{ratio.most:.2f})",
            )
        drain = Spread.of(self.rows_drain_s)
        what = f"ROWS drained by a plain stub, {self.rows_drained:,} events"
        table.add_row(what, "–", "–", _seconds(drain), _rate(self.rows_drained, drain), "–")
        table.add_row("First batch, ordered", "–", "–", _seconds(Spread.of(self.first_batch_s)), "–", "–")
        return table

    def _memory(self) -> Table:
        sizes = [f"{peaks.rows:,} events" for peaks in self.peaks]
        table = _table("Peak memory, CSV export", *sizes, "Growth", "Promised at most")
        servers = [peaks.server_bytes for peaks in self.peaks]
        clients = [peaks.client_bytes for peaks in self.peaks]
        for name, peaks_bytes, allowed_bytes in (
            ("server", servers, SERVER_GROWTH_ALLOWED_BYTES),
            ("client", clients, CLIENT_GROWTH_ALLOWED_BYTES),
        ):
            growth_bytes = peaks_bytes[-1] - peaks_bytes[0]
            table.add_row(name, *map(_mebibytes, (*peaks_bytes, growth_bytes, allowed_bytes)))
        return table


def _table(first: str, *others: str) -> Table:
    table = Table(box=box.ROUNDED if sys.stdout.isatty() else box.MARKDOWN)
    table.add_column(first)
    for other in others:
        table.add_column(other, justify="left" if other == "Peer" and not table.columns[1:] else "right")
    return table


def _seconds(spread: Spread) -> str:
    digits = 2 if spread.median >= 1 else 3
    return f"{spread.median:.{digits}f} s ({spread.least:.{digits}f}–{spread.most:.{digits}f})"


def _rate(rows: int, spread: Spread) -> str:
    return f"{rows / spread.median / 1e6:.2f} M"


def _mebibytes(size_bytes: int) -> str:
    return f"{size_bytes / MIB:,.0f} MiB"
