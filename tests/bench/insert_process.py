"""`python -m tests.bench.insert_process DATABASE KIND COUNT`: DuckDB's own INSERT of the events that
tests.bench.ingest sends, from Arrow batches in the table's types, each in a transaction of its own.

DATABASE must not exist. It prints {"rows": …, "seconds": […]}; the time runs from the first INSERT,
on an open database, to the last commit.
"""

import json
import sys
import time
from pathlib import Path

import duckdb
import pyarrow as pa

from tests.bench.ingest import ROWS_EVENTS, SMALL_EVENTS, synthetic_events
from tests.synthetic import make_store

_EVENTS = {"rows": ROWS_EVENTS, "arrow": ROWS_EVENTS, "small": SMALL_EVENTS}


def _batches(kind: str, count: int) -> list[pa.RecordBatch]:
    """With the sequences that a server would give."""
    batches, sequence = [], 1
    for events in synthetic_events(count):
        for first in range(0, events.num_rows, _EVENTS[kind]):
            part = events.slice(first, _EVENTS[kind])
            sequences = pa.array(range(sequence, sequence + part.num_rows), pa.int64())
            batches.append(part.add_column(0, "sequence", sequences))
            sequence += part.num_rows
    return batches


if __name__ == "__main__":
    database, kind, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    make_store(database, 0)
    batches = _batches(kind, count)
    with duckdb.connect(database) as connection:
        start_s = time.perf_counter()
        for batch in batches:
            connection.register("batch", batch)
            connection.execute("INSERT INTO events BY NAME SELECT * FROM batch")
        elapsed_s = time.perf_counter() - start_s
    rows = sum(batch.num_rows for batch in batches)
    print(json.dumps({"rows": rows, "seconds": [elapsed_s]}))
