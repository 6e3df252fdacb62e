"""`python -m tests.bench.flight_file_server FILE`: Arrow Flight over an Arrow file's ready-made batches.

It writes its location on standard output once it serves, and is there to be killed.
"""

import sys
from typing import Any

import pyarrow as pa
from pyarrow import flight


class _Batches(flight.FlightServerBase):  # type: ignore[misc] # pyarrow carries no types
    def __init__(self, path: str) -> None:
        super().__init__("grpc://127.0.0.1:0")
        # Mapped once, so that a call does nothing but send.
        self._table = pa.ipc.open_file(pa.memory_map(path)).read_all()

    def do_get(self, context: Any, ticket: Any) -> Any:
        return flight.RecordBatchStream(self._table)


with _Batches(sys.argv[1]) as server:
    print(f"grpc://127.0.0.1:{server.port}", flush=True)
    server.serve()
