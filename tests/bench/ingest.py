"""`python -m tests.bench.ingest ADDRESS KIND COUNT`: sends COUNT synthetic events, with the default
columns and source, in ready-made requests, many at a time.

KIND is rows or arrow, requests of about 1 MiB, or small, rows in requests of 100 events. It prints
{"rows": …, "seconds": […]}; the time runs from the first request, on a warm channel, to the last answer.
"""

import json
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import duckdb
import grpc
import pyarrow as pa

from argus_client.ingest import to_arrow_streams
from argus_grpc.columns import DEFAULT_COLUMNS
from argus_grpc.encode import to_row_messages, to_wire_types
from argus_grpc.v1.event_pb2 import Events
from argus_grpc.v1.ingest_pb2 import IngestEventsRequest, IngestEventsResponse
from tests.bench.dataset import cached_store

_METHOD = "/argus_grpc.v1.IngestService/IngestEvents"
SMALL_EVENTS = 100
# Of default columns, about a mebibyte as messages.
ROWS_EVENTS = 16_384

_REQUESTS_AT_ONCE = {"rows": 16, "arrow": 32, "small": 16}


def synthetic_events(count: int) -> Iterator[pa.RecordBatch]:
    """Events without sequences, in the order of arrival, in the columns' stored types."""
    columns = ", ".join(["source", *(column.name for column in DEFAULT_COLUMNS)])
    with duckdb.connect(cached_store(count), read_only=True) as connection:
        query = f"SELECT {columns} FROM events ORDER BY sequence"
        yield from connection.sql(query).to_arrow_reader(1 << 17)


def _requests(kind: str, count: int) -> Iterator[bytes]:
    for events in synthetic_events(count):
        if kind == "arrow":
            for _, stream in to_arrow_streams(to_wire_types(events)):
                yield IngestEventsRequest(arrow=stream).SerializeToString()
            continue
        step = SMALL_EVENTS if kind == "small" else ROWS_EVENTS
        for first in range(0, events.num_rows, step):
            rows = Events.FromString(to_row_messages(events.slice(first, step)).to_pybytes())
            yield IngestEventsRequest(rows=rows).SerializeToString()


def _ingest(address: str, kind: str, count: int) -> tuple[int, float]:
    """How many events were acknowledged, and in how many seconds."""
    requests = list(_requests(kind, count))
    at_once = _REQUESTS_AT_ONCE[kind]
    with grpc.insecure_channel(address) as channel, ThreadPoolExecutor(at_once) as threads:
        send: grpc.UnaryUnaryMultiCallable[bytes, IngestEventsResponse] = channel.unary_unary(
            _METHOD, response_deserializer=IngestEventsResponse.FromString
        )
        grpc.channel_ready_future(channel).result()
        waiting = iter(requests)

        def send_until_done() -> int:
            rows = 0
            # Taking from a list's iterator is one step under the interpreter's lock.
            for request in waiting:
                answer = send(request)
                rows += answer.last_sequence - answer.first_sequence + 1
            return rows

        start_s = time.perf_counter()
        senders = [threads.submit(send_until_done) for _ in range(at_once)]
        rows = sum(sender.result() for sender in senders)
        return rows, time.perf_counter() - start_s


if __name__ == "__main__":
    address, kind, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    rows, seconds = _ingest(address, kind, count)
    print(json.dumps({"rows": rows, "seconds": [seconds]}))
