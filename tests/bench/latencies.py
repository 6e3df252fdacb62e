"""How long until the first batch, and how long a small query takes, in stores of several sizes."""

import json
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import duckdb

from argus_client import EventQuery, ExportClient
from tests.bench.dataset import cached_store, copied_store, middle_ns, remove_store
from tests.bench.processes import BenchFailed, argus_server, run_module

SELECTED_ROWS = 1_000


@dataclass(frozen=True)
class Latencies:
    """Seconds in a store of `rows` events, round by round: to the first batch of an ordered export of
    everything, and to the last of the `selected_rows` events that a query asks for."""

    rows: int
    selected_rows: int
    first_batch_s: list[float]
    selected_s: list[float]


@dataclass(frozen=True)
class Selected:
    """Events in the middle of a store: those of [start_ns, end_ns)."""

    start_ns: int
    end_ns: int
    sequences: list[int]


def measure_latencies(
    sizes: Sequence[int], rounds: int, folder: Path, tell: Callable[[str], None]
) -> list[Latencies]:
    """One server a size, all up, asked in turns.

    Raises BenchFailed if one does not give the events that DuckDB gives.
    """
    tell("latency: which events to ask for, and whether they come")
    selected = [select_some(rows, min(SELECTED_ROWS, rows // 4)) for rows in sizes]
    with ExitStack() as stack:
        arguments: list[str] = []
        for rows, wanted in zip(sizes, selected, strict=True):
            server = stack.enter_context(argus_server(copied_store(rows, folder)))
            _check(server.address, wanted)
            arguments += [server.address, str(wanted.start_ns), str(wanted.end_ns)]
        tell(f"latency: {rounds} rounds")
        answer = json.loads(run_module("tests.bench.latency_process", str(rounds), *arguments))
    for rows in sizes:
        remove_store(copied_store(rows, folder))
    counts = [len(wanted.sequences) for wanted in selected]
    if answer["rows"] != counts:
        raise BenchFailed(f"the queries gave {answer['rows']} events, not {counts}")
    return [
        Latencies(*figures)
        for figures in zip(sizes, counts, answer["first_batch"], answer["selected"], strict=True)
    ]


def select_some(rows: int, wanted_rows: int) -> Selected:
    """About so many events of a store: exactly those of a range of time."""
    start_ns = middle_ns(rows)
    with duckdb.connect(cached_store(rows), read_only=True) as connection:
        found = connection.execute(
            "SELECT timestamp, sequence FROM events WHERE timestamp >= ?"
            " ORDER BY timestamp, sequence LIMIT ?",
            [start_ns, wanted_rows + 1],
        ).fetchall()
    *wanted, (end_ns, _) = found
    if not wanted or wanted[-1][0] == end_ns:
        raise BenchFailed("no range of time has as many events as a query should ask for")
    return Selected(start_ns, end_ns, [sequence for _, sequence in wanted])


def _check(address: str, wanted: Selected) -> None:
    query = EventQuery(start=wanted.start_ns, end=wanted.end_ns)
    with ExportClient(address) as client, client.export(query, columns=["sequence"]) as export:
        sequences = [sequence for batch in export for sequence in batch["sequence"].to_pylist()]
    if sequences != wanted.sequences:
        raise BenchFailed(f"a query gave {len(sequences):,} events, and not those that DuckDB gives")
