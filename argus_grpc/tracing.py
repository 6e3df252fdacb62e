"""OpenTelemetry: a span for each call. Its packages are loaded only where it is asked for."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from argus_grpc.calls import Call
from argus_grpc.errors import ExtraMissing
from argus_grpc.status import reason_of
from argus_grpc.version import VERSION

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Span

_NAME = "argus-server"

# Those that are the server's fault (OpenTelemetry's semantic conventions for gRPC, "gRPC status").
_FAULTS = frozenset({"DATA_LOSS", "DEADLINE_EXCEEDED", "INTERNAL", "UNAVAILABLE", "UNIMPLEMENTED", "UNKNOWN"})


class Tracing:
    """Sends spans as the standard OTEL_ variables say. Close it, which sends the last of them.

    A span says what kind of call it was and how large, nothing of what was asked for, and nobody's name.

    Raises ExtraMissing if the packages are not installed.
    """

    def __init__(self) -> None:
        try:
            from opentelemetry.sdk.resources import SERVICE_NAME, Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
            from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

            exporter = _exporter()
        except ImportError as error:
            raise ExtraMissing(
                f"--otel needs more than the server does ({error}): pip install 'argus-export[server,otel]'"
            ) from error
        resource = Resource.create({"service.version": VERSION})
        if str(resource.attributes[SERVICE_NAME]).startswith("unknown_service"):
            resource = resource.merge(Resource({SERVICE_NAME: _NAME}))
        self._provider = TracerProvider(resource=resource)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer(_NAME, VERSION)
        self._propagator = TraceContextTextMapPropagator()

    @contextmanager
    def span(
        self, call: Call, metadata: Sequence[tuple[str, str | bytes]], code: Callable[[], str]
    ) -> Iterator[None]:
        """A span as long as this is held; part of the caller's trace, where the metadata has a traceparent
        (W3C Trace Context). It may be left by another thread.

        code: says the status code's name in the end.
        """
        from opentelemetry.trace import SpanKind

        carrier = {key: value for key, value in metadata if key in self._propagator.fields}
        service, _, method = call.method.lstrip("/").rpartition("/")
        attributes = {
            "rpc.system": "grpc",
            "rpc.service": service,
            "rpc.method": method,
            "argus.request_id": call.request_id,
        }
        parent = self._propagator.extract(carrier)
        span = self._tracer.start_span(f"{service}/{method}", parent, SpanKind.SERVER, attributes)
        try:
            yield
        finally:
            _end(span, call, code())

    def close(self) -> None:
        self._provider.shutdown()


def _end(span: "Span", call: Call, code: str) -> None:
    import grpc
    from opentelemetry.trace import StatusCode

    facts: dict[str, Any] = {"rpc.grpc.status_code": grpc.StatusCode[code].value[0]}
    if call.error is not None:
        facts["argus.reason"] = reason_of(call.error)
    if export := call.export:
        facts |= {
            "argus.export_id": export.export_id,
            "argus.rows": export.rows,
            "argus.bytes": export.payload_bytes,
        }
        if export.first_batch_s is not None:
            facts["argus.first_batch_s"] = export.first_batch_s - call.began_s
    if ingest := call.ingest:
        facts |= {"argus.events": ingest.events, "argus.bytes": ingest.request_bytes}
    span.set_attributes(facts)
    if code in _FAULTS:
        span.set_status(StatusCode.ERROR, code)
    span.end()


def _exporter() -> "SpanExporter":
    protocol = os.environ.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or os.environ.get(
        "OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"
    )
    if protocol.startswith("http"):
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as OverHttp

        return OverHttp()
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter()
