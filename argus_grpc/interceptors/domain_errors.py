"""Ends a call that raised with the status that the table has for the error."""

from collections.abc import Iterator
from contextlib import contextmanager

import grpc
import structlog
from grpc_status import rpc_status
from structlog.contextvars import get_contextvars

from argus_grpc.errors import ArgusError
from argus_grpc.interceptors.call import CallInterceptor
from argus_grpc.status import status_of

_log = structlog.get_logger()


class DomainErrors(CallInterceptor):
    @contextmanager
    def around(self, method: str, context: grpc.ServicerContext) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            if not isinstance(error, ArgusError):
                _log.exception("call_failed", method=method)
            status = status_of(error, str(get_contextvars().get("request_id", "")))
            context.abort_with_status(rpc_status.to_status(status))
