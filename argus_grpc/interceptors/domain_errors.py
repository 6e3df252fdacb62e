"""Ends a call that raised with the status that the table has for the error."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import grpc
import structlog
from grpc_status import rpc_status

from argus_grpc.calls import current_call
from argus_grpc.errors import ArgusError
from argus_grpc.interceptors.call import CallLayer
from argus_grpc.status import status_of

_log = structlog.get_logger()


class DomainErrors(CallLayer):
    @contextmanager
    def around(self, method: str, context: grpc.ServicerContext) -> Iterator[None]:
        call = current_call()
        try:
            yield
        except grpc.RpcError:
            # gRPC's own, to what reads the requests of a client that has gone.
            raise
        except Exception as error:
            call.error = error
            if not isinstance(error, ArgusError):
                _log.exception("call_failed", method=method)
            _forget_locals(error)
            status = status_of(error, call.request_id)
            context.abort_with_status(rpc_status.to_status(status))


def _forget_locals(error: BaseException) -> None:
    """An error and the frames that it came through hold one another until garbage is looked for, and the
    frames what they had: a whole request, or a window of events."""
    cause: BaseException | None = error
    while cause is not None:
        traceback.clear_frames(cause.__traceback__)
        cause = cause.__cause__ or cause.__context__
