"""`make bench`: argus-server and argus-client against DuckDB's COPY and Arrow Flight, side by side.

Fails if a program fails or outputs that should be equal are not; a time never fails it.
"""

import argparse
import json
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.bench.dataset import CACHE, cached_store
from tests.bench.machine import describe_load, describe_machine
from tests.bench.measures import Bench, Peaks, measure_peaks
from tests.bench.processes import BenchFailed
from tests.bench.report import Report
from tests.processes import server_process

EXIT_INTERRUPTED = 130
EXIT_TERMINATED = 143

DEFAULT_ROWS, DEFAULT_RUNS = 10_000_000, 5
QUICK_ROWS, QUICK_RUNS = 1_000_000, 3
# Row messages are for information, and slow.
MAX_ROWS_DRAINED = 1_000_000
# Memory is compared with that of an export of a tenth of the events.
SMALL_SHARE = 10


def main() -> None:
    options = _parse_options()
    # So that servers and files are cleared away at a polite kill too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(EXIT_TERMINATED))
    CACHE.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(dir=CACHE, prefix="run-") as folder:
            report = _measure(options.rows, options.runs, Path(folder))
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
    except (BenchFailed, subprocess.CalledProcessError) as error:
        sys.exit(f"bench: {error}")
    report.show()
    if options.json is not None:
        options.json.write_text(json.dumps(report.to_json(), indent=2) + "\n")


def _measure(rows: int, runs: int, folder: Path) -> Report:
    machine = describe_machine()
    small_rows = max(1, rows // SMALL_SHARE)
    for size in (small_rows, rows):
        _tell(f"{size:,} synthetic events, made if they are not kept from before")
        cached_store(size)
    database, small_database = folder / "events.duckdb", folder / "small.duckdb"
    # Copies: DuckDB locks a file that is written to, and a server writes to its own.
    shutil.copyfile(cached_store(rows), database)
    shutil.copyfile(cached_store(small_rows), small_database)
    rows_drained = min(rows, MAX_ROWS_DRAINED)

    with server_process(database) as server:
        bench = Bench(server.address, cached_store(rows), rows, runs, folder, _tell)
        csv, csv_likeness = bench.compare_files("csv")
        jsonl, jsonl_likeness = bench.compare_files("jsonl")
        drains = bench.compare_drains()
        first_batch_s = bench.first_batch()
        rows_drain_s = bench.drain_rows(rows_drained)
        server.stop()

    peaks: list[Peaks] = []
    for size, copy in ((small_rows, small_database), (rows, database)):
        _tell(f"peak memory, {size:,} events")
        peaks += filter(None, [measure_peaks(copy, size, folder)])
    return Report(
        rows=rows,
        runs=runs,
        # Well above 2: others were at work too, and the times are not to be relied on.
        machine=machine | {"load after": describe_load()},
        comparisons=[*csv, *jsonl, *drains],
        first_batch_s=first_batch_s,
        rows_drained=rows_drained,
        rows_drain_s=rows_drain_s,
        peaks=peaks,
        likenesses=[csv_likeness, jsonl_likeness],
    )


def _tell(what: str) -> None:
    print(f"bench: {what}", file=sys.stderr, flush=True)


def _parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--rows", type=_at_least_one, help=f"events [default: {DEFAULT_ROWS:,}]")
    parser.add_argument("--runs", type=_at_least_one, help=f"runs after a warm-up [default: {DEFAULT_RUNS}]")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_ROWS:,} events, {QUICK_RUNS} runs")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure there, too")
    options = parser.parse_args()
    options.rows = options.rows or (QUICK_ROWS if options.quick else DEFAULT_ROWS)
    options.runs = options.runs or (QUICK_RUNS if options.quick else DEFAULT_RUNS)
    return options


def _at_least_one(text: str) -> int:
    number = int(text.replace("_", "").replace(",", ""))
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not allowed; allowed: 1 or more")
    return number


if __name__ == "__main__":
    main()
