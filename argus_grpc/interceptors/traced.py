"""Gives each call of our services a span."""

from contextlib import AbstractContextManager
from functools import partial

import grpc

from argus_grpc.calls import current_call
from argus_grpc.interceptors.call import RPC_NAMES, CallLayer
from argus_grpc.interceptors.calls import code_of
from argus_grpc.tracing import Tracing


class Traced(CallLayer):
    """Stands outside of what turns errors into statuses."""

    def __init__(self, tracing: Tracing) -> None:
        self._tracing = tracing

    def concerns(self, method: str) -> bool:
        return method in RPC_NAMES

    def around(self, method: str, context: grpc.ServicerContext) -> AbstractContextManager[None]:  # noqa: ARG002
        return self._tracing.span(current_call(), context.invocation_metadata(), partial(code_of, context))
