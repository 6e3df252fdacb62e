"""`python -m tests.bench.drain KIND ADDRESS COUNT`: reads an export and throws it away.

It prints {"rows": …, "seconds": […]}; the time begins before the connection is made, except for
first-batch, which uses one warm channel COUNT times. COUNT is the row limit of rows.
"""

import json
import sys
import time
from collections.abc import Iterator

import grpc
from pyarrow import flight

from argus_client import ExportClient
from argus_grpc.v1.export_pb2 import Encoding, StreamEventsRequest
from argus_grpc.v1.export_pb2_grpc import ExportServiceStub


def _arrow(address: str, _count: int) -> Iterator[int]:
    with ExportClient(address) as client:
        for batch in client.export():
            yield batch.num_rows


def _flight(location: str, _count: int) -> Iterator[int]:
    with flight.connect(location) as client:
        for chunk in client.do_get(flight.Ticket(b"")):
            yield chunk.data.num_rows


def _rows(address: str, count: int) -> Iterator[int]:
    request = StreamEventsRequest(encoding=Encoding.ENCODING_ROWS, limit=count)
    with grpc.insecure_channel(address) as channel:
        for message in ExportServiceStub(channel).StreamEvents(request):
            yield len(message.batch.rows.events)


def _first_batches(address: str, count: int) -> list[float]:
    """Seconds to the first batch of an ordered export of everything, `count` times."""
    latencies_s = []
    with ExportClient(address) as client:
        client.columns()
        for _ in range(count):
            start_s = time.perf_counter()
            with client.export() as export:
                next(iter(export))
                latencies_s.append(time.perf_counter() - start_s)
    return latencies_s


_DRAINS = {"arrow": _arrow, "flight": _flight, "rows": _rows}

if __name__ == "__main__":
    kind, address, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    if kind == "first-batch":
        print(json.dumps({"rows": 0, "seconds": _first_batches(address, count)}))
    else:
        start_s = time.perf_counter()
        rows = sum(_DRAINS[kind](address, count))
        print(json.dumps({"rows": rows, "seconds": [time.perf_counter() - start_s]}))
