"""clients/node/read-export.mjs, a plain stub in another language, against a real server."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest

from argus_grpc.v1.event_pb2 import Event, Events, EventType
from argus_grpc.v1.export_pb2 import EventBatch, ExportHeader, StreamEventsRequest, StreamEventsResponse
from tests.conftest import RunningServer
from tests.identities import TlsFiles, make_token, tls_server
from tests.processes import ENVIRONMENT

CLIENT = Path(__file__).parents[2] / "clients" / "node"
NPM_CI = ["npm", "ci", "--omit=dev", "--no-progress", "--fetch-retries=1"]
NO_REGISTRY = {
    "E401",
    "E403",
    "EAI_AGAIN",
    "ECONNREFUSED",
    "ECONNRESET",
    "ENOTCACHED",
    "ENOTFOUND",
    "ETIMEDOUT",
}

EVENTS = [
    Event(
        timestamp=1_704_067_200_123_456_789, event_type=EventType.EVENT_TYPE_VIRTUAL_THREAD_START, source="a"
    ),
    Event(
        timestamp=2**63 - 1,
        event_type=EventType.EVENT_TYPE_VIRTUAL_THREAD_END,
        source="ünïcode ☕",
        thread_id=2**63 - 1,
        thread_name="",
        duration_ns=0,
    ),
]


@pytest.fixture(scope="module")
def node() -> str:
    """The path of Node, with what the program needs installed."""
    program = shutil.which("node")
    if not program or not shutil.which("npm"):
        pytest.skip("node and npm are not both on PATH")
    version = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    if int(version.strip().lstrip("v").split(".")[0]) < 20:
        pytest.skip(f"Node 20 or later is needed, and this is {version.strip()}")
    if not (CLIENT / "node_modules" / "@grpc" / "grpc-js").exists():
        install = subprocess.run(NPM_CI, cwd=CLIENT, capture_output=True, text=True, check=False)
        code = re.search(r"npm (?:error|ERR!) code (\S+)", install.stderr)
        if code and code[1] in NO_REGISTRY:
            pytest.skip(f"npm cannot reach a registry: {code[1]}")
        assert install.returncode == 0, install.stderr
    return program


def read_export(node: str, *arguments: object, token: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [node, CLIENT / "read-export.mjs", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        env=ENVIRONMENT | {"ARGUS_TOKEN": token},
        check=False,
    )


def test_speaks_tls_and_says_who_calls(node: str, tmp_path: Path) -> None:
    files, tokens, ca = TlsFiles(tmp_path), tmp_path / "tokens.json", tmp_path / "ca.pem"
    ca.write_bytes(files.authority.cert_pem.bytes())
    token = make_token(tokens, "rita", "reader")
    with tls_server(tmp_path, files, tokens=tokens) as server:
        address = server.address.replace("127.0.0.1", "localhost")
        whole = read_export(node, address, ca, token=token)
        missing = read_export(node, address, ca)
    assert (whole.returncode, whole.stderr) == (0, "0 events, watermark 0\n")
    assert missing.returncode == 1
    assert "UNAUTHENTICATED: credentials are missing" in missing.stderr


def test_prints_every_event_and_says_that_the_export_is_whole(server: RunningServer, node: str) -> None:
    server.ingest(EVENTS)
    done = read_export(node, server.address)
    assert done.returncode == 0, done.stderr
    # Only the default columns come, so the source does not.
    assert [json.loads(line) for line in done.stdout.splitlines()] == [
        {"timestamp": "1704067200123456789", "eventType": "EVENT_TYPE_VIRTUAL_THREAD_START"},
        {
            "timestamp": "9223372036854775807",
            "eventType": "EVENT_TYPE_VIRTUAL_THREAD_END",
            "threadId": "9223372036854775807",
            "threadName": "",
            "durationNs": "0",
        },
    ]
    assert done.stderr == "2 events, watermark 2\n"


def test_an_empty_store_is_a_whole_export_of_nothing(server: RunningServer, node: str) -> None:
    done = read_export(node, server.address)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "0 events, watermark 0\n")


@contextmanager
def server_that_stops_early(status: grpc.StatusCode) -> Iterator[str]:
    """Sends a part of an export, then ends with a status of choice and no summary. Gives its address."""

    def stream_events(
        _: StreamEventsRequest, context: grpc.ServicerContext
    ) -> Iterator[StreamEventsResponse]:
        event = Event(timestamp=1, event_type=EventType.EVENT_TYPE_GC_PAUSE)
        yield StreamEventsResponse(header=ExportHeader(total_events=2))
        yield StreamEventsResponse(batch=EventBatch(row_count=1, rows=Events(events=[event])))
        if status is not grpc.StatusCode.OK:
            context.abort(status, "scripted")

    method = grpc.unary_stream_rpc_method_handler(
        stream_events,
        request_deserializer=StreamEventsRequest.FromString,
        response_serializer=StreamEventsResponse.SerializeToString,
    )
    service = "argus_grpc.v1.ExportService"
    with ThreadPoolExecutor(1) as threads:
        server = grpc.server(threads)
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(service, {"StreamEvents": method}),)
        )
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield f"127.0.0.1:{port}"
        finally:
            server.stop(None).wait()


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (grpc.StatusCode.OK, "the stream ended after 1 rows without the summary of a whole export"),
        (grpc.StatusCode.UNAVAILABLE, "14 UNAVAILABLE: scripted"),
    ],
)
def test_a_broken_stream_fails(node: str, status: grpc.StatusCode, said: str) -> None:
    with server_that_stops_early(status) as address:
        done = read_export(node, address)
    assert done.returncode == 1
    assert done.stderr == f"the export is not whole: {said}\n"
