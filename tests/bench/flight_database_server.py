"""`python -m tests.bench.flight_database_server DATABASE`: all events over Arrow Flight, read in order
when they are asked for, with the very code of argus-server.

It writes its location on standard output once it serves, and is there to be killed.
"""

import secrets
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import flight

from argus_grpc.bounds import MemoryBudget
from argus_grpc.columns import DEFAULT_COLUMNS, STORED_SCHEMA
from argus_grpc.encode import to_wire_types
from argus_grpc.export import Export, ExportRequest
from argus_grpc.service import DEFAULT_BATCH_BYTES
from argus_grpc.store import DuckDbStore
from argus_grpc.tokens import TokenMaker
from argus_grpc.v1.export_pb2 import Order
from argus_grpc.v1.query_pb2 import EventQuery
from tests.granting import unrestricted

_EVERYTHING = ExportRequest(
    granted=unrestricted(EventQuery()),
    columns=tuple(DEFAULT_COLUMNS),
    order=Order.ORDER_TIME,
    max_rows=None,
    max_batch_bytes=DEFAULT_BATCH_BYTES,
)
_MIB = 1024 * 1024
# The server's defaults.
_DUCKDB_BYTES, _EXPORT_BYTES, _TOKEN_LIFETIME_S = 512 * _MIB, 64 * _MIB, 86_400


class _Events(flight.FlightServerBase):  # type: ignore[misc] # pyarrow carries no types
    def __init__(self, path: Path) -> None:
        super().__init__("grpc://127.0.0.1:0")
        self._store = DuckDbStore(path, _DUCKDB_BYTES)
        self._tokens = TokenMaker(secrets.token_bytes(32), _TOKEN_LIFETIME_S)
        self._budget = MemoryBudget(_EXPORT_BYTES)
        names = [column.name for column in DEFAULT_COLUMNS]
        stored = pa.schema([STORED_SCHEMA.field(name) for name in names])
        self._schema = to_wire_types(pa.RecordBatch.from_pylist([], schema=stored)).schema

    def do_get(self, context: Any, ticket: Any) -> Any:
        # A reader: Flight's own GeneratorStream cannot send dictionaries.
        return flight.RecordBatchStream(pa.RecordBatchReader.from_batches(self._schema, self._batches()))

    def _batches(self) -> Iterator[pa.RecordBatch]:
        with (
            self._budget.share() as share,
            Export(_EVERYTHING, self._store, self._tokens, share) as export,
        ):
            export.begin()
            for batch in export.batches():
                yield to_wire_types(batch.events)


with _Events(Path(sys.argv[1])) as server:
    print(f"grpc://127.0.0.1:{server.port}", flush=True)
    server.serve()
