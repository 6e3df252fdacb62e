"""Which named batches have been stored: in a table beside the events, found through a filter in memory."""

import hashlib
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import structlog

from argus_grpc.store.database import Database
from argus_grpc.store.id_filter import IdFilter

SEGMENT_IDS = 131_072
MAX_SEGMENTS = 128
"""Together 16.8 million ids: 128 MiB of memory."""

CREATE_TABLE = (
    "CREATE TABLE IF NOT EXISTS argus_batches (hash BIGINT NOT NULL, source VARCHAR NOT NULL,"
    " batch_id VARCHAR NOT NULL, first_sequence BIGINT NOT NULL, events BIGINT NOT NULL,"
    " committed_at_s BIGINT NOT NULL)"
)

_SCHEMA = pa.schema(
    [
        ("hash", pa.int64()),
        ("source", pa.string()),
        ("batch_id", pa.string()),
        ("first_sequence", pa.int64()),
        ("events", pa.int64()),
        ("committed_at_s", pa.int64()),
    ]
)
_REMOVE_EVERY_S = 600

_log = structlog.get_logger()


class BatchId(NamedTuple):
    """The name under which a batch is stored once."""

    source: str
    batch_id: str

    @property
    def hash(self) -> int:
        text = f"{len(self.source)} {self.source}{self.batch_id}"
        digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
        return int.from_bytes(digest, "little", signed=True)


class BatchIds:
    """Remembers for lifetime_s seconds at least which batches were stored, as long as they are not too many.

    There is no index: DuckDB would hold it in memory with the ids' texts. The filter says where in the
    table an id may be, which as a rule is nowhere.

    To be used by one thread. `clock` gives seconds since the Unix epoch.
    """

    def __init__(
        self,
        database: Database,
        lifetime_s: float,
        clock: Callable[[], float] = time.time,
        max_segments: int = MAX_SEGMENTS,
    ) -> None:
        self._lifetime_s = lifetime_s
        self._clock = clock
        self._filter = IdFilter(SEGMENT_IDS, max_segments)
        self._removed_at_s = clock()
        database.read(self._load)

    def find(self, connection: duckdb.DuckDBPyConnection, ids: Sequence[BatchId]) -> dict[BatchId, range]:
        """The sequences of those batches that have been stored."""
        found: dict[BatchId, range] = {}
        for index, places in self._filter.find(np.array([id_.hash for id_ in ids], np.int64)):
            id_ = ids[index]
            # fetchall(): in DuckDB 2 a result that may go on bars the connection's next query.
            rows = connection.execute(
                "SELECT first_sequence, events FROM argus_batches WHERE first_sequence >= ?"
                " AND first_sequence < ? AND hash = ? AND source = ? AND batch_id = ?"
                # An id that was forgotten may have been stored again since.
                " ORDER BY first_sequence DESC LIMIT 1",
                [places.start, places.stop, id_.hash, *id_],
            ).fetchall()
            for first, events in rows:
                found.setdefault(id_, range(first, first + events))
        return found

    def to_rows(self, stored: dict[BatchId, range]) -> pa.RecordBatch:
        """The rows of batches that are being stored."""
        now_s = int(self._clock())
        rows = [[id_.hash, *id_, sequences.start, len(sequences), now_s] for id_, sequences in stored.items()]
        columns = zip(*rows, strict=True) if rows else [[] for _ in _SCHEMA]
        arrays = [pa.array(column, type_) for column, type_ in zip(columns, _SCHEMA.types, strict=True)]
        return pa.RecordBatch.from_arrays(arrays, schema=_SCHEMA)

    def insert(self, connection: duckdb.DuckDBPyConnection, rows: pa.RecordBatch) -> None:
        """Adds rows to the table. Once the transaction is committed, `committed` is to be told."""
        if rows.num_rows:
            # `rows` is the variable: DuckDB finds it by its name.
            connection.execute("INSERT INTO argus_batches BY NAME SELECT * FROM rows")

    def committed(self, rows: pa.RecordBatch) -> None:
        """Rows are in the table for good."""
        if rows.num_rows:
            newest_s = pc.max(rows["committed_at_s"]).as_py()
            self._filter.add(rows["hash"].to_numpy(), rows["first_sequence"][0].as_py(), newest_s)

    def remove_old(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Removes now and then what is older than the lifetime, and what is too much."""
        now_s, oldest_s = self._clock(), self._oldest_s()
        if first := self._filter.forget(oldest_s):
            ((ids, newest_s),) = connection.execute(
                "SELECT count(*), max(committed_at_s) FROM argus_batches WHERE first_sequence < ?", [first]
            ).fetchall()
            connection.execute("DELETE FROM argus_batches WHERE first_sequence < ?", [first])
            _log.warning("batch_ids_forgotten", ids=ids, kept_s=int(now_s - (newest_s or now_s)))
        if now_s - self._removed_at_s >= min(_REMOVE_EVERY_S, self._lifetime_s):
            self._removed_at_s = now_s
            connection.execute("DELETE FROM argus_batches WHERE committed_at_s < ?", [oldest_s])

    def _oldest_s(self) -> int:
        return int(self._clock() - self._lifetime_s)

    def _load(self, connection: duckdb.DuckDBPyConnection) -> None:
        query = "SELECT hash, first_sequence, committed_at_s FROM argus_batches ORDER BY first_sequence"
        for batches in connection.sql(query).to_arrow_reader(SEGMENT_IDS):
            self.committed(batches)
        self._filter.forget(self._oldest_s())
