"""Events taken in, until they are committed, against DuckDB's own INSERT."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import duckdb

from tests.bench import targets
from tests.bench.dataset import remove_store
from tests.bench.processes import BenchFailed, argus_server, self_timed
from tests.bench.rounds import Comparison, Peer, alternate

INSERT = "DuckDB INSERT … SELECT, in process"

_KINDS = {
    "rows": ("Ingest, row messages, 1 MiB a request", targets.INGEST_ROWS_PER_S),
    "arrow": ("Ingest, Arrow, 1 MiB a request", targets.INGEST_ARROW_PER_S),
    "small": ("Ingest, row messages, 100 events a request", None),
}


@dataclass(frozen=True)
class IngestBench:
    """Every run fills a new store."""

    rows: int
    runs: int
    folder: Path
    tell: Callable[[str], None]

    def compare(self, kind: str) -> tuple[list[Comparison], str]:
        """Ours against INSERT, and how alike what they store is.

        Raises BenchFailed if they do not store the same.
        """
        what, min_rows_per_s = _KINDS[kind]
        ours, peers = self.folder / "ours.duckdb", self.folder / "peers.duckdb"

        def send() -> float:
            remove_store(ours)
            with argus_server(ours) as server:
                arguments = (server.address, kind, str(self.rows))
                return self_timed("tests.bench.ingest", *arguments, rows=self.rows)

        def insert() -> float:
            remove_store(peers)
            arguments = (str(peers), kind, str(self.rows))
            return self_timed("tests.bench.insert_process", *arguments, rows=self.rows)

        comparisons = alternate(
            what, self.rows, self.runs, send, {INSERT: Peer(insert)}, self.tell, min_rows_per_s
        )
        if _content(ours) != _content(peers):
            raise BenchFailed(f"{what}: not the events that INSERT stored")
        for file in (ours, peers):
            remove_store(file)
        return comparisons, f"{what}: the store holds the events that INSERT stored."


def _content(database: Path) -> tuple[object, ...]:
    """What a store holds, the same for the same events under other sequences: requests that are under
    way together may be stored in any order."""
    with duckdb.connect(database, read_only=True) as connection:
        row = connection.execute(
            "SELECT count(*), sum(hash(event)::HUGEINT),"
            " (SELECT (count(DISTINCT sequence), min(sequence), max(sequence)) FROM events)"
            " FROM (SELECT * EXCLUDE sequence FROM events) AS event"
        ).fetchone()
    assert row is not None
    return tuple(row)
