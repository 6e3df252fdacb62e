"""Tells by grpc.health.v1 which of the services can be used now."""

from collections.abc import Callable, Mapping

import structlog
from grpc_health.v1 import health, health_pb2

from argus_grpc.looking import Looking

_Status = health_pb2.HealthCheckResponse
_log = structlog.get_logger()


class ServingStatus:
    """Looks every `interval_s` seconds whether each service can be used, and tells `servicer`. The name ""
    stands for all of them together. Close it, which ends its thread.

    services: by name, what says whether it can be used.
    """

    def __init__(
        self,
        servicer: health.HealthServicer,
        services: Mapping[str, Callable[[], bool]],
        interval_s: float = 1.0,
    ) -> None:
        self._servicer = servicer
        self._services = services
        self._told: dict[str, bool] = {}
        self._look()
        self._looking = Looking("serving-status", interval_s, [self._look])

    def close(self) -> None:
        self._looking.close()

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
