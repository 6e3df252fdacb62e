"""Files: the whole command that writes one against DuckDB's COPY."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.bench.copy_sql import copy_sql
from tests.bench.equality import Content, first_difference
from tests.bench.processes import BenchFailed, timed_module
from tests.bench.rounds import Comparison, Peer, alternate

COPY_ORDERED, COPY_UNORDERED = "DuckDB COPY, ordered", "DuckDB COPY, unordered"

# DuckDB's name for JSON Lines is json.
_COPY_FORMATS = {"csv": "csv", "jsonl": "json"}


def copy_arguments(database: Path, file: Path, format: str, *, is_ordered: bool) -> tuple[str, ...]:
    """The module, and its arguments, that has DuckDB write a file of every event."""
    sql = copy_sql(file, _COPY_FORMATS[format], is_ordered=is_ordered)
    return "tests.bench.copy_process", str(database), sql, str(file)


def export_arguments(address: str, file: Path) -> tuple[str, ...]:
    """The module, and its arguments, that exports every event to a file."""
    return "argus_client", "export", "--server", address, "-o", str(file)


@dataclass(frozen=True)
class FileBench:
    """A server (at `address`) and a database for DuckDB with the same `rows` events."""

    address: str
    database: Path
    rows: int
    runs: int
    folder: Path
    tell: Callable[[str], None]

    def compare(
        self, format: str, min_speed_ordered: float | None, min_speed_unordered: float | None
    ) -> tuple[list[Comparison], str]:
        """Ours against both COPYs, and how alike the files are.

        Raises BenchFailed if the files do not hold the same.
        """
        ours = self.folder / f"ours.{format}"
        ordered, unordered = (self.folder / f"{name}.{format}" for name in ("ordered", "unordered"))

        def export() -> float:
            ours.unlink(missing_ok=True)
            return timed_module(*export_arguments(self.address, ours))

        def copy(file: Path) -> float:
            file.unlink(missing_ok=True)
            return timed_module(*copy_arguments(self.database, file, format, is_ordered=file is ordered))

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
            {
                COPY_ORDERED: Peer(lambda: copy(ordered), min_speed_ordered),
                COPY_UNORDERED: Peer(lambda: copy(unordered), min_speed_unordered),
            },
            self.tell,
        )
        for file in (ours, ordered, unordered):
            file.unlink()
        return comparisons, likeness


def _likeness(format: str, ours: Path, ordered: Path, unordered: Path) -> str:
    contents = [Content.of(file) for file in (ours, ordered, unordered)]
    if contents[0].sha256 != contents[1].sha256:
        raise BenchFailed(f"the files are not equal; {first_difference(ours, ordered)}")
    if contents[0].lines != contents[2].lines:
        raise BenchFailed(f"{ours.name} and {unordered.name} do not have the same lines")
    sizes = f"{ours.stat().st_size / 1e6:,.1f} MB against {ordered.stat().st_size / 1e6:,.1f} MB"
    how = "equal bytes" if format == "csv" else "equal bytes once COPY's null members are left out"
    return f"{format.upper()}: {how} ({sizes}); unordered COPY has the same lines in another order."
