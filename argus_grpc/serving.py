"""Tells by grpc.health.v1 which of the services can be used now."""

import threading
from collections.abc import Mapping
from typing import Protocol

import structlog
from grpc_health.v1 import health, health_pb2

_Status = health_pb2.HealthCheckResponse
_log = structlog.get_logger()


class IsServing(Protocol):
    def __call__(self) -> bool: ...


class ServingStatus:
    """Looks every `interval_s` seconds whether each service can be used, and tells `servicer`. The name ""
    stands for all of them together. Close it, which ends its thread.

    services: by name, what says whether it can be used.
    """

    def __init__(
        self, servicer: health.HealthServicer, services: Mapping[str, IsServing], interval_s: float = 1.0
    ) -> None:
        self._servicer = servicer
        self._services = services
        self._interval_s = interval_s
        self._told: dict[str, bool] = {}
        self._closed = threading.Event()
        self._look()
        self._thread = threading.Thread(target=self._watch, name="serving-status", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._closed.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._closed.wait(self._interval_s):
            self._look()

    def _look(self) -> None:
        found = {name: is_serving() for name, is_serving in self._services.items()}
        found[""] = all(found.values())
        for name, is_serving in found.items():
            if self._told.get(name) == is_serving:
                continue
            status = _Status.SERVING if is_serving else _Status.NOT_SERVING
            # Once the server is stopping this changes nothing: all stay NOT_SERVING.
            self._servicer.set(name, status)
            if name in self._told:
                _log.warning(
                    "serving_changed", service=name or "all", status=_Status.ServingStatus.Name(status)
                )
            self._told[name] = is_serving
