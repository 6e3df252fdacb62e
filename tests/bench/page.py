"""docs/benchmarks.md and its plot, written from a report."""

from pathlib import Path

from tests.bench.plot import draw
from tests.bench.report import Report
from tests.bench.tables import NOTES, to_tables

_PAGE = """\
# Benchmarks

How fast Argus export is, beside programs that do the same work without the promises, and what it costs
in memory. Measured on {measured_on} with {rows:,} synthetic events where no other number is given,
{runs} alternating runs each; {met}. `make bench` wrote this page.

{tables}

The same as a plot; time is to grow straight with the events, memory not at all:

![Time and memory against the number of events]({plot})

## What is compared, and why it is fair

All at once, in one run of one program, on one machine: each peer takes its turns with ours, so that
whatever else the machine does, it does to both. Ratios are those of neighbouring runs.

- **The same work.** The six default columns of every event, in order (`timestamp`, then `sequence`),
  with the same texts; ingested events have their source besides. What the programs wrote is
  compared, and the bench fails where it is not the same:
{likenesses}
- **With everything on.** Our figures are those of `argus-server` and `argus-client` as they are
  installed: order, snapshot, a resume token and a CRC-32C for every batch, which the client checks
  against all that came before; files with SHA-256, checkpoints and manifest. A file is finished when it
  is synced to disk under its final name, an ingested event when its commit is acknowledged.
- **Peers at their best.** DuckDB writes its files in its own process, from its own tables, in C++, on
  all cores, with its default settings; the SQL was chosen as the fastest that gives the right digits.
  “Ordered” does what we do; “unordered” is spared the sort. Flight's ready-made batches are spared the
  database, the order and the encoding: that is what the wire alone costs. Neither gives its reader a
  snapshot to go on from, or a check of what arrived.
- **One machine.** Our server and client share the cores that a peer has for itself, and talk over the
  loopback interface.

The events are made up but lifelike (`tests/synthetic.py`, seeded): virtual threads that start, end and
pin, among samples, allocations and GC; nearly in order of time, each up to 5 ms out of place and one
in a thousand a minute late. Databases and files are in the page cache when a run begins, since one like
it has gone before.

## Machine and versions

{machine}

The load says whether others were at work too; well above the number of cores, times are not to be
relied on.

## How to read the tables

{notes}
- Targets are what the project set itself for 10,000,000 events, five times as many where a growth or a
  query's time is meant. Missed ones are named as well as met ones.
- Peak memory is what the system counts as resident (`VmHWM`), of a fresh process over one export.

## Do it again

```
make bench                                   # all of it, and this page
make bench-quick                             # under two minutes: fewer events, no page
python -m tests.bench --only csv,latency     # some parts
python -m tests.bench --json figures.json    # every run's figures, too
```

It takes about 15 GB of disk while it runs. The events are made once and kept under `build/bench`. The
bench fails if a program fails or outputs differ; never because of a time.
"""


def write_page(report: Report, folder: Path) -> None:
    """Writes benchmarks.md and benchmarks.svg."""
    plot = folder / "benchmarks.svg"
    draw(report.scales, plot)
    met, of = report.targets_met
    page = _PAGE.format(
        measured_on=report.measured_on,
        rows=report.rows,
        runs=report.runs,
        met=f"{met} of {of} targets are met",
        tables="\n\n".join(f"## {title}\n\n{table}" for title, table in to_tables(report).items()),
        plot=plot.name,
        likenesses="\n".join(f"  - {likeness}" for likeness in report.likenesses),
        machine="\n".join(f"- {name}: {value}" for name, value in report.machine.items()),
        notes="\n".join(f"- {note}" for note in NOTES),
    )
    (folder / "benchmarks.md").write_text(page)
