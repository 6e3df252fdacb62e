"""Begins each call, and hands it to those who tell of it when it is over."""

import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import grpc
import structlog
from structlog.contextvars import bind_contextvars

from argus_grpc.calls import Call, begin
from argus_grpc.interceptors.call import INGEST_METHOD, CallLayer

_log = structlog.get_logger()

OnEnded = Callable[[Call, str], None]
"""Called with a call that is over and its status code's name."""


class Calls(CallLayer):
    """Gives each call a request id, and tells all of `on_ended` of its end.

    Called by whichever thread ends the call: they must be quick, and not raise.
    """

    def __init__(self, on_ended: Sequence[OnEnded]) -> None:
        self._on_ended = on_ended

    @contextmanager
    def around(self, method: str, context: grpc.ServicerContext) -> Iterator[None]:
        call = Call(secrets.token_hex(8), method, context.peer(), time.monotonic())
        # For good: gRPC runs each call with context variables of its own.
        begin(call)
        bind_contextvars(request_id=call.request_id, method=method, peer=call.peer)
        try:
            yield
        finally:
            code = code_of(context)
            for on_ended in self._on_ended:
                on_ended(call, code)


def code_of(context: grpc.ServicerContext) -> str:
    """The name of the status code of a call that is over."""
    status = context.code()  # type: ignore[attr-defined]
    if status:
        return str(status.name)
    return "OK" if context.is_active() else "CANCELLED"


def log_call(call: Call, code: str) -> None:
    """Logs each call but ingest that went well: those come by the thousand, and each line would cost about
    what storing the batch does."""
    if call.method != INGEST_METHOD or code != "OK":
        caller = call.caller
        _log.info(
            "call_ended",
            principal=caller.name if caller else None,
            code=code,
            duration_s=round(time.monotonic() - call.began_s, 6),
        )
