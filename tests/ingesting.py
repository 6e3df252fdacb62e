"""Clients that send batches until each has been acknowledged, and what must be in the file then."""

import random
import threading
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import grpc
from google.rpc.error_details_pb2 import QuotaFailure, RetryInfo
from grpc_status import rpc_status

from argus_grpc.v1.event_pb2 import Event, Events, EventType
from argus_grpc.v1.ingest_pb2 import IngestEventsRequest
from argus_grpc.v1.ingest_pb2_grpc import IngestServiceStub

NO_RETRIES = [("grpc.enable_retries", 0), ("grpc.use_local_subchannel_pool", 1)]


def exhausted(error: grpc.RpcError) -> tuple[str, float]:
    """What a RESOURCE_EXHAUSTED is about, and after how many seconds to try again."""
    assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED, error
    quota, retry = QuotaFailure(), RetryInfo()
    details = rpc_status.from_call(error).details
    assert any(detail.Unpack(quota) for detail in details)
    assert any(detail.Unpack(retry) for detail in details)
    assert retry.retry_delay.ToMilliseconds() > 0
    return quota.violations[0].subject, retry.retry_delay.ToMilliseconds() / 1000


def numbered_batch(source: str, number: int, rows: int, text: str = "") -> IngestEventsRequest:
    """The batch of this number: its events have the number as thread, and their places as duration."""
    events = [
        Event(
            timestamp=number,
            event_type=EventType.EVENT_TYPE_VIRTUAL_THREAD_PINNED,
            source=source,
            thread_id=number + 1,
            duration_ns=place,
            stack_trace=text or None,
        )
        for place in range(rows)
    ]
    return IngestEventsRequest(source=source, batch_id=str(number), rows=Events(events=events))


def rows_of(number: int) -> int:
    """Batches of many sizes."""
    return random.Random(number).choice((1, 7, 100, 2_000))


@dataclass
class Sender:
    """Sends the batches 1, 2, … one after the other, each until it is acknowledged."""

    source: str
    acknowledged: dict[int, range] = field(default_factory=dict)
    sent_again: int = 0

    def send_until(self, is_over: threading.Event, address: "Address") -> None:
        """Once it is over, the batch under way is still sent until it is acknowledged."""
        number, now = 0, ""
        while not is_over.is_set() or number > len(self.acknowledged):
            now = address.other_than(now)
            with grpc.insecure_channel(now, options=NO_RETRIES) as channel:
                stub = IngestServiceStub(channel)
                try:
                    while not is_over.is_set() or number > len(self.acknowledged):
                        number = len(self.acknowledged) + 1
                        answer = stub.IngestEvents(numbered_batch(self.source, number, rows_of(number)))
                        self.acknowledged[number] = range(answer.first_sequence, answer.last_sequence + 1)
                except grpc.RpcError as error:
                    if error.code() != grpc.StatusCode.UNAVAILABLE:
                        raise
                    self.sent_again += 1


class Address:
    """Where the server is at the moment."""

    def __init__(self) -> None:
        self._address = ""
        self._changed = threading.Condition()

    def set(self, address: str) -> None:
        with self._changed:
            self._address = address
            self._changed.notify_all()

    def other_than(self, address: str) -> str:
        """Where it is, once that is another place."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._address not in ("", address), timeout=60)
            return self._address


def check_file(database: Path, senders: list[Sender]) -> None:
    """By plain SQL: batches are whole, each there once, and under the sequences that were acknowledged."""
    with duckdb.connect(database, read_only=True) as connection:
        stored = {
            (source, number): (count, distinct, range(first, last + 1))
            for source, number, count, distinct, first, last in connection.execute(
                "SELECT source, thread_id - 1, count(*), count(DISTINCT duration_ns), min(sequence),"
                " max(sequence) FROM events GROUP BY ALL"
            ).fetchall()
        }
        totals = connection.execute("SELECT count(*), count(DISTINCT sequence) FROM events").fetchone()
    assert totals is not None
    assert totals[0] == totals[1]
    for (_, number), (count, distinct, sequences) in stored.items():
        assert count == distinct == len(sequences) == rows_of(number)
    for sender in senders:
        for number, sequences in sender.acknowledged.items():
            assert stored[sender.source, number][2] == sequences
