"""Keeps reflection, whose streams wait for questions in a thread each, to a few threads."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc

from argus_grpc.errors import LimitReached
from argus_grpc.interceptors.call import REFLECTION_METHOD, CallLayer
from argus_grpc.interceptors.watchdog import Watchdog

MAX_REFLECTIONS = 4
REFLECTION_IDLE_S = 30.0

_RETRY_AFTER_S = 1.0


class ReflectionBound(CallLayer):
    """Refuses a stream beyond MAX_REFLECTIONS with LimitReached, and ends one with UNAVAILABLE on which
    nothing has been asked or read for idle_s seconds."""

    def __init__(self, watchdog: Watchdog, idle_s: float) -> None:
        self._watchdog = watchdog
        self._idle_s = idle_s
        self._free = threading.BoundedSemaphore(MAX_REFLECTIONS)

    def concerns(self, method: str) -> bool:
        return method == REFLECTION_METHOD

    @contextmanager
    def around(self, method: str, context: grpc.ServicerContext) -> Iterator[None]:  # noqa: ARG002
        if not self._free.acquire(blocking=False):
            raise LimitReached("max_reflections", MAX_REFLECTIONS, "reflections at once", _RETRY_AFTER_S)
        try:
            yield
        finally:
            self._free.release()

    def along(self, messages: Iterator[Any], method: str, context: grpc.ServicerContext) -> Iterator[Any]:  # noqa: ARG002
        why = f"idle: nothing was asked for {self._idle_s:g} s"
        with self._watchdog.waiting(context, self._idle_s, why) as wait:
            for message in messages:
                wait.begin()
                yield message
