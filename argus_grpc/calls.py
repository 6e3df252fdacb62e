"""What is known of a call while it runs, for whoever has to tell of it: log, audit, metrics, errors."""

import hashlib
import struct
import threading
import time
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field

from argus_grpc.access import ANONYMOUS, NOTHING, Principal, Role
from argus_grpc.errors import ArgusError
from argus_grpc.v1.aggregate_pb2 import Aggregation
from argus_grpc.v1.query_pb2 import EventQuery


@dataclass
class Call:
    """One call of a method, from its beginning to its end.

    request_id: names it in the log, the audit and in errors.
    method: as gRPC names it, /package.Service/Method.
    peer: from where, as gRPC names it.
    began_s: by time.monotonic().
    principal, role: who calls, once that is known, and what they may do.
    policy_version: of the policy that the role is from.
    queued_s: how long an export, or a plan, waited for its turn.
    """

    request_id: str
    method: str
    peer: str
    began_s: float
    principal: Principal = ANONYMOUS
    role: Role = NOTHING
    policy_version: str = "built-in"
    queued_s: float | None = None
    export: "ExportFacts | None" = None
    ingest: "IngestFacts | None" = None
    error: Exception | None = None
    """What ended it, as it was raised."""
    interruption: ArgusError | None = None
    """Why it is to end, from outside of it."""
    judge: Callable[[], None] = lambda: None
    """To be called after a wait: raises AccessChanged if the caller has not the role any more."""
    _cancels: list[Callable[[], object]] = field(default_factory=list, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    @property
    def caller(self) -> Principal | None:
        """Who calls; None while, or where, that is not known."""
        return None if self.principal is ANONYMOUS and self.role is NOTHING else self.principal

    def on_interrupt(self, cancel: Callable[[], object]) -> None:
        """Has `cancel` called, by another thread, when the call is interrupted."""
        with self._lock:
            self._cancels.append(cancel)
            is_late = self.interruption is not None
        if is_late:
            cancel()

    def interrupt(self, error: ArgusError) -> None:
        """Stops what runs or waits for this call, which is to end with `error`."""
        with self._lock:
            if self.interruption is not None:
                return
            self.interruption = error
            cancels = list(self._cancels)
        for cancel in cancels:
            cancel()


@dataclass
class ExportFacts:
    """How far this stream of an export is, or of a grouping; or what a plan is about, without any rows.

    query: as applied.
    columns: in the order of the batches.
    watermark: of the snapshot; it moves on where new events are followed.
    first_row: how many rows came before this stream.
    aggregation: what is grouped by and measured; None for events.
    rows, payload_bytes: of the batches that have been handed to gRPC. The client may lack the last of them.
    completeness: COMPLETE or TRUNCATED once the summary is made.
    first_batch_s: by time.monotonic().
    """

    export_id: str
    query: EventQuery
    columns: tuple[str, ...]
    redacted_columns: tuple[str, ...]
    watermark: int = 0
    first_row: int = 0
    aggregation: Aggregation | None = None
    rows: int = 0
    payload_bytes: int = 0
    completeness: str = ""
    first_batch_s: float | None = None
    _sha256: "hashlib._Hash" = field(default_factory=hashlib.sha256)

    def sends(self, first_row: int, row_count: int, payload_bytes: int, crc32c: int) -> None:
        """Counts a batch in."""
        if self.first_batch_s is None:
            self.first_batch_s = time.monotonic()
        self.rows += row_count
        self.payload_bytes += payload_bytes
        self._sha256.update(struct.pack(">QQI", first_row, row_count, crc32c))

    @property
    def digest(self) -> str:
        """SHA-256, in hexadecimal, of first_row (64 bits), row_count (64) and crc32c (32) of each batch, big
        endian: what a client received can be compared with it, and it costs nothing."""
        return self._sha256.hexdigest()


@dataclass
class IngestFacts:
    """What a batch is, as far as it is known. sequences: once it is stored."""

    source: str = ""
    batch_id: str = ""
    request_bytes: int = 0
    events: int = 0
    sequences: range = field(default_factory=lambda: range(0))
    was_stored_before: bool = False


_current: ContextVar[Call] = ContextVar("call")


def current_call() -> Call:
    """The call in whose thread, or context, this runs. Raises LookupError outside of one."""
    return _current.get()


def current_principal() -> Principal:
    """Who makes the call in whose thread, or context, this runs; outside of one, nobody in particular."""
    call = _current.get(None)
    return call.principal if call else ANONYMOUS


def begin(call: Call) -> None:
    """To be called once, where the call begins: gRPC runs each with context variables of its own."""
    _current.set(call)
