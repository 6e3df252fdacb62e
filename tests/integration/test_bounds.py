"""How much may come in at a time: messages, what they decompress to, headers."""

from pathlib import Path
from typing import Any, cast

import grpc
import pytest

from argus_grpc.v1 import export_pb2, ingest_pb2
from argus_grpc.v1.export_pb2 import PlanExportRequest
from tests.conftest import RunningServer
from tests.processes import peak_bytes

MIB = 1024 * 1024
METHODS = [
    (f"/{service.full_name}/{method.name}", method.server_streaming)
    for pb2 in (export_pb2, ingest_pb2)
    for service in pb2.DESCRIPTOR.services_by_name.values()
    for method in service.methods
]
MAX_GROWTH_BYTES = 40 * MIB


def call(
    server: RunningServer,
    method: tuple[str, bool],
    request: bytes,
    *,
    compression: grpc.Compression = grpc.Compression.NoCompression,
    header: str = "",
) -> tuple[grpc.StatusCode, str]:
    """How a call ends that has this request, whatever it is."""
    path, is_stream = method
    options = [("grpc.max_send_message_length", -1), ("grpc.max_metadata_size", MIB)]
    with grpc.insecure_channel(server.address, options, compression) as channel:
        kind: Any = channel.unary_stream if is_stream else channel.unary_unary
        try:
            answer = kind(path)(request, timeout=60, metadata=[("x-some", header)] if header else None)
            if is_stream:
                list(answer)
        except grpc.RpcError as error:
            ended = cast(grpc.Call, error)
            return ended.code(), ended.details() or ""
    return grpc.StatusCode.OK, ""


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method[0].rpartition("/")[2])
def test_what_no_method_takes(shared_server: RunningServer, method: tuple[str, bool]) -> None:
    code, told = call(shared_server, method, b"\xff\xff\xff")
    assert (code, "a message of 3 bytes" in told) == (grpc.StatusCode.INVALID_ARGUMENT, True)

    before = peak_bytes(Path("/proc/self/status"))
    code, _ = call(shared_server, method, bytes(4 * MIB + 1))
    assert code == grpc.StatusCode.RESOURCE_EXHAUSTED
    # A compressed request is bounded by what it becomes.
    code, told = call(shared_server, method, bytes(8 * MIB), compression=grpc.Compression.Gzip)
    assert (code, "ecompressed" in told) == (grpc.StatusCode.RESOURCE_EXHAUSTED, True)
    assert peak_bytes(Path("/proc/self/status")) - before < MAX_GROWTH_BYTES

    code, _ = call(shared_server, method, b"", header="x" * 32 * 1024)
    assert code == grpc.StatusCode.RESOURCE_EXHAUSTED


def test_the_server_goes_on(shared_server: RunningServer) -> None:
    assert shared_server.exports.PlanExport(PlanExportRequest()).total_events == 0
