"""`make bench`: argus-server and argus-client against DuckDB and Arrow Flight, side by side.

Fails if a program fails or outputs that should be equal are not; a time never fails it.
"""

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from tests.bench.dataset import CACHE
from tests.bench.machine import describe_load, describe_machine
from tests.bench.parts import PARTS, Plan, measure
from tests.bench.processes import BenchFailed
from tests.bench.report import Report
from tests.bench.tables import show

EXIT_INTERRUPTED = 130
EXIT_TERMINATED = 143

DEFAULT_ROWS, DEFAULT_RUNS = 10_000_000, 5
QUICK_ROWS, QUICK_RUNS = 500_000, 3
MIN_ROWS = 1_000

_STARTED_S = time.monotonic()


def main() -> None:
    options = _parse_options()
    # So that servers and files are cleared away at a polite kill too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(EXIT_TERMINATED))
    try:
        report = _measure(options) if options.figures is None else _read(options.figures)
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
    except (BenchFailed, subprocess.CalledProcessError) as error:
        sys.exit(f"bench: {error}")
    show(report)
    if options.json is not None:
        options.json.write_text(json.dumps(report.to_json(), indent=2) + "\n")
    if options.docs is not None:
        # Only here: what draws takes a second to load.
        from tests.bench.page import write_page

        write_page(report, options.docs)


def _measure(options: argparse.Namespace) -> Report:
    CACHE.mkdir(parents=True, exist_ok=True)
    report = Report(
        rows=options.rows,
        runs=options.runs,
        measured_on=datetime.now(UTC).date().isoformat(),
        machine=describe_machine(),
    )
    with tempfile.TemporaryDirectory(dir=CACHE, prefix="run-") as folder:
        plan = Plan(options.rows, options.runs, options.quick, Path(folder), _tell)
        plan.make_stores(options.only)
        measure(plan, report, options.only)
    # Well above the number of cores: others were at work too, and the times are not to be relied on.
    report.machine["load after"] = describe_load()
    return report


def _read(figures: Path) -> Report:
    return Report.from_json(json.loads(figures.read_text()))


def _tell(what: str) -> None:
    print(f"bench: {time.monotonic() - _STARTED_S:5.0f} s: {what}", file=sys.stderr, flush=True)


def _parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--rows", type=_rows, help=f"events [default: {DEFAULT_ROWS:,}]")
    parser.add_argument("--runs", type=_runs, help=f"runs after a warm-up [default: {DEFAULT_RUNS}]")
    parser.add_argument(
        "--quick",
        action="store_true",
        help=f"{QUICK_ROWS:,} events, {QUICK_RUNS} runs, and none of five times the events",
    )
    parser.add_argument(
        "--only", type=_parts, metavar="PART,…", default=PARTS, help=f"some of {', '.join(PARTS)}"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure there, too")
    parser.add_argument("--docs", type=Path, metavar="FOLDER", help="write benchmarks.md and .svg there")
    parser.add_argument(
        "--figures", type=Path, metavar="FILE", help="measure nothing: show what --json wrote to FILE"
    )
    options = parser.parse_args()
    if options.docs is not None and (options.quick or set(options.only) != set(PARTS)):
        parser.error("--docs needs all parts, not --quick: the page would lack the others")
    options.rows = options.rows or (QUICK_ROWS if options.quick else DEFAULT_ROWS)
    options.runs = options.runs or (QUICK_RUNS if options.quick else DEFAULT_RUNS)
    return options


def _rows(text: str) -> int:
    return _at_least(MIN_ROWS, text)


def _runs(text: str) -> int:
    return _at_least(1, text)


def _at_least(least: int, text: str) -> int:
    number = int(text.replace("_", "").replace(",", ""))
    if number < least:
        raise argparse.ArgumentTypeError(f"{text} is not allowed; allowed: {least:,} or more")
    return number


def _parts(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    for name in names:
        if name not in PARTS:
            raise argparse.ArgumentTypeError(f"{name} is not a part; there are {', '.join(PARTS)}")
    return names


if __name__ == "__main__":
    main()
