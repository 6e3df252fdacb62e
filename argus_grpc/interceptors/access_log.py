"""Gives each call a request id and logs how it ended."""

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager

import grpc
import structlog
from structlog.contextvars import bind_contextvars

from argus_grpc.interceptors.call import INGEST_METHOD, CallInterceptor

_log = structlog.get_logger()


class AccessLog(CallInterceptor):
    """Logs each call but ingest that went well: those come by the thousand, and each line would cost about
    what storing the batch does."""

    @contextmanager
    def around(self, method: str, context: grpc.ServicerContext) -> Iterator[None]:
        began_s = time.monotonic()
        # For good: gRPC runs each call with context variables of its own.
        bind_contextvars(request_id=secrets.token_hex(8), method=method, peer=context.peer())
        try:
            yield
        finally:
            status = context.code()  # type: ignore[attr-defined]
            code = status.name if status else "OK" if context.is_active() else "CANCELLED"
            if method != INGEST_METHOD or code != "OK":
                _log.info("call_ended", code=code, duration_s=round(time.monotonic() - began_s, 6))
