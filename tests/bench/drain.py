"""`python -m tests.bench.drain KIND ADDRESS COUNT`: reads an export of COUNT events and throws it away.

KIND arrow takes a file of authorities and one with a token besides, for a server that asks for them.

It prints {"rows": …, "seconds": […]}; the time begins before the connection is made. KIND digest
reads row messages too, and has their SHA-256 for what it prints under "sha256".
"""

import hashlib
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
from pyarrow import flight

from argus_client import ExportClient, Tls
from argus_grpc.v1.event_pb2 import Events
from argus_grpc.v1.export_pb2 import Encoding, StreamEventsRequest
from argus_grpc.v1.export_pb2_grpc import ExportServiceStub


def _arrow(address: str, _count: int, ca: str | None = None, token_file: str | None = None) -> Iterator[int]:
    tls = Tls(ca=Path(ca)) if ca else None
    token = Path(token_file).read_text().strip() if token_file else None
    with ExportClient(address, tls=tls, token=token) as client:
        for batch in client.export():
            yield batch.num_rows


def _flight(location: str, _count: int) -> Iterator[int]:
    with flight.connect(location) as client:
        for chunk in client.do_get(flight.Ticket(b"")):
            yield chunk.data.num_rows


def _messages(address: str, count: int) -> Iterator[Events]:
    request = StreamEventsRequest(encoding=Encoding.ENCODING_ROWS, limit=count)
    with grpc.insecure_channel(address) as channel:
        for message in ExportServiceStub(channel).StreamEvents(request):
            yield message.batch.rows


def _rows(address: str, count: int) -> Iterator[int]:
    for messages in _messages(address, count):
        yield len(messages.events)


def _digest(address: str, count: int) -> dict[str, object]:
    """Of the messages one after the other, wherever batches end."""
    rows, digest = 0, hashlib.sha256()
    for messages in _messages(address, count):
        rows += len(messages.events)
        digest.update(messages.SerializeToString(deterministic=True))
    return {"rows": rows, "sha256": digest.hexdigest()}


_DRAINS: dict[str, Callable[..., Iterator[int]]] = {"arrow": _arrow, "flight": _flight, "rows": _rows}

if __name__ == "__main__":
    kind, address, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    if kind == "digest":
        print(json.dumps(_digest(address, count)))
    else:
        start_s = time.perf_counter()
        rows = sum(_DRAINS[kind](address, count, *sys.argv[4:]))
        print(json.dumps({"rows": rows, "seconds": [time.perf_counter() - start_s]}))
