"""A span for each call, part of the caller's trace, and nothing of it without the flag."""

import subprocess
import sys
from pathlib import Path

import grpc
import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from argus_grpc import tracing
from argus_grpc.v1.event_pb2 import Event, EventType
from argus_grpc.v1.export_pb2 import StreamEventsRequest
from argus_grpc.v1.query_pb2 import EventQuery
from tests.conftest import start_server
from tests.processes import ENVIRONMENT

START = EventType.EVENT_TYPE_VIRTUAL_THREAD_START
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def test_calls_are_spans_of_the_callers_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exporter = InMemorySpanExporter()
    monkeypatch.setattr(tracing, "_exporter", lambda: exporter)
    for server in start_server(tmp_path, otel=True):
        server.ingest([Event(timestamp=1, event_type=START, source="hunter2", thread_name="hunter2")])
        request = StreamEventsRequest(query=EventQuery(sources=["hunter2"]))
        metadata = (("traceparent", f"00-{TRACE}-{PARENT}-01"), ("authorization", "Bearer hunter2"))
        list(server.exports.StreamEvents(request, metadata=metadata))
        with pytest.raises(grpc.RpcError):
            list(server.exports.StreamEvents(StreamEventsRequest(columns=["hunter2"])))
        # Those are sent when the server has closed.
    ingest, export, refused = exporter.get_finished_spans()

    assert ingest.name == "argus_grpc.v1.IngestService/IngestEvents"
    assert attributes(ingest) >= {("rpc.system", "grpc"), ("argus.events", 1), ("rpc.grpc.status_code", 0)}
    assert ingest.parent is None
    assert export.kind is SpanKind.SERVER
    assert export.parent is not None
    assert f"{export.parent.trace_id:032x}-{export.parent.span_id:016x}" == f"{TRACE}-{PARENT}"
    assert attributes(export) >= {("rpc.method", "StreamEvents"), ("argus.rows", 1)}
    assert attributes(refused) >= {("argus.reason", "INVALID_FIELD"), ("rpc.grpc.status_code", 3)}
    assert refused.status.status_code is StatusCode.UNSET
    assert export.resource.attributes["service.name"] == "argus-server"
    assert "hunter2" not in " ".join(span.to_json() for span in (ingest, export, refused))


def attributes(span: ReadableSpan) -> set[tuple[str, object]]:
    assert span.attributes is not None
    return set(span.attributes.items())


@pytest.mark.parametrize("wanted", [True, False])
def test_its_packages_are_needed_only_for_the_flag(tmp_path: Path, wanted: bool) -> None:
    """The server where they are not installed."""
    program = f"""
import sys
sys.modules["opentelemetry"] = None
from argus_grpc.config import Config
from argus_grpc.errors import ArgusError
from argus_grpc.server import Server
try:
    with Server(Config(db={str(tmp_path / "e.duckdb")!r}, listen="127.0.0.1:0", otel={wanted})):
        print("served")
except ArgusError as error:
    print(error)
"""
    command = [sys.executable, "-c", program]
    ended = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, timeout=60, check=True)
    if wanted:
        assert "pip install 'argus-export[server,otel]'" in ended.stdout
    else:
        assert ended.stdout == "served\n"
