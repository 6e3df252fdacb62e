"""Lets only so many exports run at once, so that other calls always find a thread."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import grpc

from argus_grpc.errors import LimitReached
from argus_grpc.interceptors.call import EXPORT_METHODS, CallInterceptor

_RETRY_AFTER_S = 1.0


class ExportSlots(CallInterceptor):
    """Refuses an export with LimitReached while `max_exports` are running."""

    def __init__(self, max_exports: int) -> None:
        super().__init__()
        self._max_exports = max_exports
        self._free = threading.Semaphore(max_exports)

    def concerns(self, method: str) -> bool:
        return method in EXPORT_METHODS

    @contextmanager
    def around(self, method: str, context: grpc.ServicerContext) -> Iterator[None]:  # noqa: ARG002
        if not self._free.acquire(blocking=False):
            raise LimitReached("max_exports", self._max_exports, "exports at once", _RETRY_AFTER_S)
        try:
            yield
        finally:
            self._free.release()
