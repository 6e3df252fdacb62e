"""Those who tell of calls, as the configuration has them: log, audit, metrics, traces."""

from collections.abc import Callable

import structlog

from argus_grpc.audit import AuditLog
from argus_grpc.config import Config, is_loopback, split_address
from argus_grpc.interceptors.audited import Audited
from argus_grpc.interceptors.call import CallLayer
from argus_grpc.interceptors.calls import OnEnded, log_call
from argus_grpc.interceptors.metered import Metered
from argus_grpc.interceptors.traced import Traced
from argus_grpc.metrics import Metrics, WatchedStore
from argus_grpc.metrics_server import MetricsServer
from argus_grpc.tracing import Tracing

_log = structlog.get_logger()


class Observers:
    """Close it when all calls have ended, and nothing is stored any more.

    on_ended: to be called for each call that is over.
    of_all: layers that stand around everything that can fail.
    of_known_callers: layers that stand where it is known who calls.
    of_running_exports: layers that stand where an export has its turn.

    Raises AuditUnavailable if the audit log cannot be opened, and ExtraMissing if packages are not installed.
    """

    def __init__(self, config: Config) -> None:
        self._metrics_listen = config.metrics_listen
        self._metrics = Metrics() if config.metrics_listen else None
        self._metrics_server: MetricsServer | None = None
        self._tracing = Tracing() if config.otel else None
        self._audit = AuditLog(config.audit_log) if config.audit_log else None
        self.on_ended: list[OnEnded] = [log_call]
        self.of_all: list[CallLayer] = [Traced(self._tracing)] if self._tracing else []
        self.of_known_callers: list[CallLayer] = []
        self.of_running_exports: list[CallLayer] = []
        if self._metrics:
            self.on_ended.append(self._metrics.ended)
            self.of_running_exports.append(Metered(self._metrics))
        if audit := self._audit:
            self.on_ended.append(audit.ended)
            self.of_known_callers.append(Audited(audit))
            if self._metrics:
                self._metrics.watch_audit(audit)

    @property
    def can_record(self) -> bool:
        """Whether what is done now can be recorded as it has to be."""
        return not (self._audit and self._audit.is_failing)

    def committed(self, seconds: float) -> None:
        """To be called with what each commit of the store took."""
        if self._metrics:
            self._metrics.committed(seconds)

    def begin(self, store: WatchedStore, exports_waiting: Callable[[], int]) -> None:
        """Serves the metrics. Raises CannotListen."""
        if self._metrics and self._metrics_listen:
            self._metrics.watch_store(store)
            self._metrics.watch_queue(exports_waiting)
            self._metrics_server = MetricsServer(*split_address(self._metrics_listen), self._metrics.registry)
            _log.info("metrics_served", address=self.metrics_address)
            if not is_loopback(self._metrics_listen):
                # They name nobody, but tell how much is going on.
                _log.warning("metrics_open_to_others", listen=self.metrics_address)

    @property
    def metrics_address(self) -> str | None:
        """Where they are served, host and port."""
        return self._metrics_server.address if self._metrics_server else None

    def close(self) -> None:
        if self._metrics_server:
            self._metrics_server.close()
        if self._audit:
            self._audit.close()
        if self._tracing:
            self._tracing.close()
