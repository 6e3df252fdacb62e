"""What is known of a call while it runs, for whoever has to tell of it: log, audit, metrics, errors."""

import threading
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field

from argus_grpc.access import ANONYMOUS, UNRESTRICTED, Principal, Role
from argus_grpc.errors import ArgusError
from argus_grpc.v1.query_pb2 import EventQuery


@dataclass
class Call:
    """One call of a method, from its beginning to its end.

    request_id: names it in the log, the audit and in errors.
    method: as gRPC names it, /package.Service/Method.
    peer: from where, as gRPC names it.
    began_s: by time.monotonic().
    principal, role: who calls, once that is known, and what they may do.
    """

    request_id: str
    method: str
    peer: str
    began_s: float
    principal: Principal = ANONYMOUS
    role: Role = UNRESTRICTED
    export: "ExportFacts | None" = None
    ingest: "IngestFacts | None" = None
    error: Exception | None = None
    """What ended it, as it was raised."""
    interruption: ArgusError | None = None
    """Why it is to end, from outside of it."""
    _cancels: list[Callable[[], None]] = field(default_factory=list, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def on_interrupt(self, cancel: Callable[[], None]) -> None:
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
    """How far an export is, or a grouping. query: as applied. payload_bytes: of its batches."""

    export_id: str
    query: EventQuery
    columns: tuple[str, ...]
    redacted_columns: tuple[str, ...]
    rows: int = 0
    payload_bytes: int = 0
    digest: str = ""
    completeness: str = ""
    first_batch_s: float | None = None
    """By time.monotonic()."""


@dataclass
class IngestFacts:
    """What a batch is. sequences: once it is stored."""

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


def begin(call: Call) -> None:
    """To be called once, where the call begins: gRPC runs each with context variables of its own."""
    _current.set(call)
