"""Makes sure who calls, and that they may call this."""

from collections.abc import Iterator
from contextlib import contextmanager

import grpc

from argus_grpc.access.authenticator import Authenticator
from argus_grpc.calls import current_call
from argus_grpc.interceptors.call import CallInterceptor


class Identity(CallInterceptor):
    """Sets the call's principal and role."""

    def __init__(self, authenticator: Authenticator) -> None:
        super().__init__()
        self._authenticator = authenticator

    @contextmanager
    def around(self, method: str, context: grpc.ServicerContext) -> Iterator[None]:  # noqa: ARG002
        call = current_call()
        call.principal = self._authenticator.authenticate(
            context.invocation_metadata(), context.auth_context()
        )
        call.role = self._authenticator.role_of(call.principal)
        yield
