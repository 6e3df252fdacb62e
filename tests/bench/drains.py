"""Streams read and thrown away: Arrow against Flight, row messages against those built the plain way."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
from pyarrow import flight

from argus_client import ExportClient
from tests.bench import targets
from tests.bench.processes import BenchFailed, peer_server, run_module, self_timed
from tests.bench.rounds import Comparison, Peer, alternate

FLIGHT_READY, FLIGHT_DATABASE = "Flight, ready-made batches", "Flight, out of the database"
PLAIN = "argus-server, messages built one by one"

_DRAIN = "tests.bench.drain"
_MAX_DIGEST_ROWS = 200_000


@dataclass(frozen=True)
class DrainBench:
    """A server (at `address`), and a copy of its database that a peer may serve, with `rows` events."""

    address: str
    peers_database: Path
    rows: int
    runs: int
    folder: Path
    tell: Callable[[str], None]

    def compare_arrow(self) -> tuple[list[Comparison], str]:
        """Batches drained by our client against the same from Flight, and how alike they are.

        Raises BenchFailed if they do not hold the same.
        """
        self.tell("arrow: warm-up, and whether the batches are equal")
        batches = self.folder / "batches.arrow"
        with ExportClient(self.address) as client, client.export() as export:
            first = next(all_batches := iter(export))
            with pa.ipc.new_file(batches, first.schema) as writer:
                writer.write_batch(first)
                for batch in all_batches:
                    writer.write_batch(batch)
        with (
            peer_server("tests.bench.flight_file_server", str(batches)) as ready,
            peer_server("tests.bench.flight_database_server", str(self.peers_database)) as database,
        ):
            table = pa.ipc.open_file(pa.memory_map(str(batches))).read_all()
            for location in (ready, database):
                _check_batches(location, table)
            comparisons = alternate(
                "ARROW drained by argus_client",
                self.rows,
                self.runs,
                lambda: self._drain_s("arrow", self.address),
                {
                    FLIGHT_READY: Peer(lambda: self._drain_s("flight", ready), targets.ARROW_SPEED),
                    FLIGHT_DATABASE: Peer(lambda: self._drain_s("flight", database), targets.ARROW_SPEED),
                },
                self.tell,
            )
        batches.unlink()
        return comparisons, "ARROW: both Flight servers give equal columns, in the same order."

    def compare_rows(self) -> tuple[list[Comparison], str]:
        """Row messages read by a plain stub against those of a server that builds them one by one,
        and how alike they are.

        Raises BenchFailed if they do not hold the same.
        """
        self.tell("rows: warm-up, and whether the messages are equal")
        with peer_server("tests.bench.plain_server", str(self.peers_database)) as plain:
            rows = str(min(self.rows, _MAX_DIGEST_ROWS))
            answers = [json.loads(run_module(_DRAIN, "digest", at, rows)) for at in (self.address, plain)]
            if answers[0] != answers[1]:
                raise BenchFailed(f"the row messages are not equal: {answers}")
            comparisons = alternate(
                "ROWS drained by a plain stub",
                self.rows,
                self.runs,
                lambda: self._drain_s("rows", self.address),
                {PLAIN: Peer(lambda: self._drain_s("rows", plain), targets.ROWS_SPEED)},
                self.tell,
            )
        return comparisons, f"ROWS: equal messages (the first {answers[0]['rows']:,} compared)."

    def _drain_s(self, kind: str, address: str) -> float:
        return self_timed(_DRAIN, kind, address, str(self.rows), rows=self.rows)


def _check_batches(location: str, table: pa.Table) -> None:
    rows = 0
    with flight.connect(location) as client:
        for chunk in client.do_get(flight.Ticket(b"")):
            batch = chunk.data
            if not pa.Table.from_batches([batch]).equals(table.slice(rows, batch.num_rows)):
                raise BenchFailed(f"Flight's batches are not equal to ours from row {rows:,} on")
            rows += batch.num_rows
    if rows != table.num_rows:
        raise BenchFailed(f"Flight gave {rows:,} events, not {table.num_rows:,}")
