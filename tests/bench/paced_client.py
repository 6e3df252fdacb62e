"""`python -m tests.bench.paced_client ADDRESS NAME REQUESTS_PER_S SECONDS EVENTS`: one client that ingests
on a schedule, whether or not its earlier requests have been answered.

Each request has EVENTS synthetic events and an id. One that is refused for now is sent again, with its id,
when the server says. It prints "ready", begins at the instant (time.time) that it then reads, and prints
{"seconds": [… from when a request was due to its answer], "firsts": [first sequences], "refusals": n}.
"""

import json
import sys
import threading
import time
from typing import Any

import grpc
from google.rpc.error_details_pb2 import RetryInfo
from grpc_status import rpc_status

from argus_grpc.v1.event_pb2 import Event, Events, EventType
from argus_grpc.v1.ingest_pb2 import IngestEventsRequest, IngestEventsResponse

_METHOD = "/argus_grpc.v1.IngestService/IngestEvents"
_KINDS = (
    EventType.EVENT_TYPE_VIRTUAL_THREAD_START,
    EventType.EVENT_TYPE_VIRTUAL_THREAD_END,
    EventType.EVENT_TYPE_VIRTUAL_THREAD_PINNED,
)


class PacedClient:
    def __init__(self, address: str, name: str, requests: int, events: int) -> None:
        self._name = name
        self._rows = IngestEventsRequest(rows=Events(events=_events(name, events))).SerializeToString()
        self._channel = grpc.insecure_channel(
            address, options=[("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0)]
        )
        self._send: grpc.UnaryUnaryMultiCallable[bytes, IngestEventsResponse] = self._channel.unary_unary(
            _METHOD, response_deserializer=IngestEventsResponse.FromString
        )
        self.seconds = [0.0] * requests
        self.firsts = [0] * requests
        self.refusals = 0
        self.failure: grpc.RpcError | None = None
        self._lock = threading.Lock()
        self._unanswered = requests
        self._all_answered = threading.Event()
        grpc.channel_ready_future(self._channel).result()

    def run(self, start_s: float, requests_per_s: float) -> None:
        """Sends every request when it is due and waits for the answers."""
        for number in range(len(self.seconds)):
            due_s = start_s + number / requests_per_s
            time.sleep(max(0.0, due_s - time.time()))
            self._begin(number, due_s)
        self._all_answered.wait()
        if self.failure:
            raise self.failure

    def _begin(self, number: int, due_s: float) -> None:
        # Messages that follow one another are merged: these are the events with an id.
        named = IngestEventsRequest(source=self._name, batch_id=str(number)).SerializeToString()
        call = self._send.future(self._rows + named)
        call.add_done_callback(lambda _: self._ended(call, number, due_s))

    def _ended(self, call: Any, number: int, due_s: float) -> None:
        error = call.exception()
        if error is None:
            self.seconds[number] = time.time() - due_s
            self.firsts[number] = call.result().first_sequence
        else:
            assert isinstance(error, grpc.RpcError)
            if (retry_after_s := _retry_after_s(error)) is not None:
                self.refusals += 1
                threading.Timer(retry_after_s, self._begin, (number, due_s)).start()
                return
            self.failure = self.failure or error
        with self._lock:
            self._unanswered -= 1
            if not self._unanswered or self.failure:
                self._all_answered.set()


def _retry_after_s(error: grpc.RpcError) -> float | None:
    retry = RetryInfo()
    status = rpc_status.from_call(error)
    for detail in status.details if status else ():
        if detail.Unpack(retry):
            return float(retry.retry_delay.ToMilliseconds()) / 1000
    return None


def _events(name: str, count: int) -> list[Event]:
    now_ns = time.time_ns()
    return [
        Event(
            timestamp=now_ns + i * 10_000,
            event_type=_KINDS[i % 3],
            source=name,
            thread_id=100_000 + i,
            thread_name=f"order-worker-{i}",
            carrier_thread=20 + i % 8,
            duration_ns=i * 1_000 if i % 3 else None,
        )
        for i in range(count)
    ]


if __name__ == "__main__":
    address, name, per_s, seconds, events = sys.argv[1:]
    client = PacedClient(address, name, round(float(per_s) * float(seconds)), int(events))
    print("ready", flush=True)
    client.run(float(sys.stdin.readline()), float(per_s))
    print(json.dumps({"seconds": client.seconds, "firsts": client.firsts, "refusals": client.refusals}))
