"""Counts exports while they run; how calls end the metrics are told by Calls."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

import grpc

from argus_grpc.calls import current_call
from argus_grpc.interceptors.call import EXPORT_METHODS, CallLayer
from argus_grpc.metrics import Metrics


class Metered(CallLayer):
    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def concerns(self, method: str) -> bool:
        return method in EXPORT_METHODS

    def around(self, method: str, context: grpc.ServicerContext) -> AbstractContextManager[None]:  # noqa: ARG002
        return self._metrics.export(current_call())

    def along(self, messages: Iterator[Any], method: str, context: grpc.ServicerContext) -> Iterator[Any]:  # noqa: ARG002
        return self._metrics.sends(current_call(), messages)
