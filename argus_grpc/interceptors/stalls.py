"""Ends streams whose reader has taken nothing for too long."""

from collections.abc import Iterator
from typing import Any

import grpc

from argus_grpc.interceptors.call import EXPORT_METHODS, CallLayer
from argus_grpc.interceptors.watchdog import Watchdog


class StallGuard(CallLayer):
    """Ends a stream with UNAVAILABLE, which says to resume, when its last message has waited
    `timeout_s` seconds for the reader."""

    def __init__(self, watchdog: Watchdog, timeout_s: float) -> None:
        self._watchdog = watchdog
        self._timeout_s = timeout_s

    def concerns(self, method: str) -> bool:
        return method in EXPORT_METHODS

    def along(self, messages: Iterator[Any], method: str, context: grpc.ServicerContext) -> Iterator[Any]:  # noqa: ARG002
        why = f"stalled: nothing was read for {self._timeout_s:g} s; resume to go on"
        for message in messages:
            with self._watchdog.waiting(context, self._timeout_s, why):
                yield message
