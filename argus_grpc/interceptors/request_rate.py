"""Refuses requests beyond a role's rate, before anything is spent on them."""

from collections.abc import Iterator
from contextlib import contextmanager

import grpc

from argus_grpc.calls import current_call
from argus_grpc.interceptors.call import HEALTH_CHECK, CallLayer
from argus_grpc.limits import Accounts


class RequestRate(CallLayer):
    """Raises LimitReached for a request too many. Health checks, which cost nothing, do not count."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts

    def concerns(self, method: str) -> bool:
        return method != HEALTH_CHECK

    @contextmanager
    def around(self, method: str, context: grpc.ServicerContext) -> Iterator[None]:  # noqa: ARG002
        self._accounts.request(current_call())
        yield
