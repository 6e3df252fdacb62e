"""A report as tables, and on standard output."""

import sys
from collections.abc import Iterable

from rich import box
from rich.console import Console
from rich.table import Table

from tests.bench.report import Report
from tests.bench.rounds import Spread

_MIB = 1024 * 1024

NOTES = (
    "Figures are medians, with the least and the most in brackets.",
    "Speed is that of ours over the peer's, run by run; above 1 ours is the faster.",
    "Files: seconds from a process's start to its exit, the file synced to disk. argus-server is running "
    "and shares the cores with its client; DuckDB has all cores and its default settings.",
    "Drains: seconds in a process that is up, connecting counted in. “Ready-made” is sent out of memory, the "
    "very batches that argus-server sent: Flight neither reads nor sorts nor encodes them. “Out of the "
    "database” it reads and sorts them with argus-server's own code. The plain stub parses every message.",
    "Ingest: seconds from the first request to the last answer, into a new store. INSERT has the same "
    "events as Arrow batches ready in its own process, and commits each by itself.",
)


def show(report: Report) -> None:
    """Prints it: tables drawn on a terminal, else Markdown."""
    for name, value in report.machine.items():
        print(f"- {name}: {value}")
    print(f"- events: {report.rows:,}; alternating runs: {report.runs}")
    for title, table in to_tables(report, box.ROUNDED if sys.stdout.isatty() else box.MARKDOWN).items():
        print(f"\n{title}\n\n{table}")
    print()
    for note in (*NOTES, *report.likenesses):
        print(f"- {note}")


def to_tables(report: Report, style: box.Box = box.MARKDOWN) -> dict[str, str]:
    """What was measured, as tables by title; those with nothing in them are left out."""
    tables = {
        "Beside its peers": _speeds(report, style),
        "How soon it answers": _waits(report, style),
        "What larger stores cost": _growths(report, style),
        "Time and memory by the number of events": _scales(report, style),
    }
    return {title: _drawn(table) for title, table in tables.items() if table.row_count}


def _speeds(report: Report, style: box.Box) -> Table:
    table = _table(
        style,
        ["What", "Peer"],
        ["Peer's time", "Our time", "Our events/s", "Our speed over the peer's", "Target", "Met"],
    )
    for c in report.comparisons:
        speed = c.speed
        target = "–" if c.min_speed is None else f"≥ {c.min_speed:.1f} ×"
        if c.min_rows_per_s is not None:
            target = f"≥ {_rate(c.min_rows_per_s)} events/s"
        table.add_row(
            c.what,
            c.peer,
            _seconds(Spread.of(c.peer_s)),
            _seconds(Spread.of(c.ours_s)),
            _rate(c.rows_per_s),
            f"{speed.median:.2f} × ({speed.least:.2f}–{speed.most:.2f})",
            target,
            _met(c.is_met),
        )
    return table


def _waits(report: Report, style: box.Box) -> Table:
    table = _table(style, ["Latency, warm channel"], ["Events in the store", "Time", "Target", "Met"])
    for wait in report.waits:
        target = "–" if wait.max_s is None else f"< {wait.max_s * 1e3:.0f} ms"
        waited = _value(Spread.of(wait.seconds), "ms")
        table.add_row(wait.what, f"{wait.rows:,}", waited, target, _met(wait.is_met))
    return table


def _growths(report: Report, style: box.Box) -> Table:
    table = _table(
        style, ["Growth with the store"], ["With fewer events", "With more", "Ratio", "Target", "Met"]
    )
    for growth in report.growths:
        ratio = growth.ratio
        table.add_row(
            growth.what,
            f"{growth.small_rows:,}: {_value(Spread.of(growth.small), growth.unit)}",
            f"{growth.large_rows:,}: {_value(Spread.of(growth.large), growth.unit)}",
            f"{ratio.median:.2f} ({ratio.least:.2f}–{ratio.most:.2f})",
            "–" if growth.max_ratio is None else f"≤ {growth.max_ratio:.1f}",
            _met(growth.is_met),
        )
    return table


def _scales(report: Report, style: box.Box) -> Table:
    times = ["Our time", "Our events/s", "COPY, ordered", "COPY, unordered"]
    peaks = [f"Peak: {name}" for name in ("server", "client", "COPY, ordered", "COPY, unordered")]
    table = _table(style, ["CSV export of so many events"], [*times, *peaks])
    for scale in report.scales:
        programs = (scale.server, scale.client, scale.ordered, scale.unordered)
        table.add_row(
            f"{scale.rows:,}",
            _seconds(Spread.of(scale.client.seconds)),
            _rate(scale.rows / scale.client.median_s),
            _seconds(Spread.of(scale.ordered.seconds)),
            _seconds(Spread.of(scale.unordered.seconds)),
            *(_mebibytes(program.median_bytes) for program in programs),
        )
    return table


def _table(style: box.Box, texts: Iterable[str], figures: Iterable[str]) -> Table:
    """A table without rows; columns of texts are on the left, figures end at the right."""
    table = Table(box=style)
    for name in texts:
        table.add_column(name)
    for name in figures:
        table.add_column(name, justify="right")
    return table


def _drawn(table: Table) -> str:
    # Where nobody knows the width, lines are not to be broken.
    console = Console(width=None if sys.stdout.isatty() else 400, highlight=False, markup=False)
    with console.capture() as capture:
        console.print(table)
    return "\n".join(line.rstrip() for line in capture.get().splitlines()).strip()


def _met(is_met: bool | None) -> str:
    return {None: "–", True: "yes", False: "no"}[is_met]


def _seconds(spread: Spread) -> str:
    digits = 2 if spread.median >= 1 else 3
    return f"{spread.median:.{digits}f} s ({spread.least:.{digits}f}–{spread.most:.{digits}f})"


def _value(spread: Spread, unit: str) -> str:
    """unit: ms for seconds, MiB for bytes."""
    factor, digits = {"ms": (1e3, 1), "MiB": (1 / _MIB, 0)}[unit]
    median, least, most = (
        f"{figure * factor:,.{digits}f}" for figure in (spread.median, spread.least, spread.most)
    )
    return f"{median} {unit} ({least}–{most})"


def _rate(rows_per_s: float) -> str:
    return f"{rows_per_s / 1e6:.2f} M"


def _mebibytes(size_bytes: float | None) -> str:
    return "–" if size_bytes is None else f"{size_bytes / _MIB:,.0f} MiB"
