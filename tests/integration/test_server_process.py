"""argus-server as its operator meets it: start, refusals, signals, and what outlives it."""

import signal
import subprocess
import sys
import threading
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from argus_grpc.v1.event_pb2 import Event, Events, EventType
from argus_grpc.v1.export_pb2 import Order, StreamEventsRequest
from argus_grpc.v1.export_pb2_grpc import ExportServiceStub
from argus_grpc.v1.ingest_pb2 import IngestEventsRequest
from argus_grpc.v1.ingest_pb2_grpc import IngestServiceStub
from tests.processes import ENVIRONMENT, run_server, server_process
from tests.synthetic import make_store

pytestmark = pytest.mark.duckdb

START = EventType.EVENT_TYPE_VIRTUAL_THREAD_START

EVENTS = IngestEventsRequest(
    rows=Events(
        events=[Event(timestamp=i, event_type=START, source="s", thread_name="x" * 1000) for i in range(1500)]
    )
)


def test_the_start_line_says_that_events_are_in_memory_only() -> None:
    command = [sys.executable, "-m", "argus_grpc.main", "--no-persistence", "--buffer-events", "5000"]
    with subprocess.Popen(
        [*command, "--listen", "127.0.0.1:0"], stdout=subprocess.PIPE, text=True, env=ENVIRONMENT
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0
    assert line.startswith("argus-server is listening on 127.0.0.1:")
    assert line.endswith(", the newest 5,000 events in memory only\n")


def test_sigterm_ends_it_cleanly(tmp_path: Path) -> None:
    with server_process(tmp_path / "events.duckdb") as server:
        assert server.stop(signal.SIGTERM) == 0


def test_a_stop_lets_short_exports_end_and_ends_long_ones_resumable(tmp_path: Path) -> None:
    db = tmp_path / "events.duckdb"
    make_store(db, rows=200_000)
    request = StreamEventsRequest(columns=["all"])
    with (
        server_process(db, "--shutdown-grace-s", "5") as server,
        grpc.insecure_channel(server.address) as channel,
    ):
        stub = ExportServiceStub(channel)
        long = stub.StreamEvents(request)
        short = stub.StreamEvents(StreamEventsRequest(columns=["all"], limit=20_000))
        token = next(long).header.resume_token
        next(short)
        server.process.send_signal(signal.SIGTERM)
        while _serves(channel):
            pass
        assert list(short)[-1].summary.total_rows == 20_000
        # Not read before the grace time is over, so it cannot end within it.
        assert server.process.wait(timeout=60) == 0
        with pytest.raises(grpc.RpcError) as ending:
            list(long)
        assert ending.value.code() == grpc.StatusCode.UNAVAILABLE

    request.resume_token = token
    with server_process(db) as server, grpc.insecure_channel(server.address) as channel:
        assert list(ExportServiceStub(channel).StreamEvents(request))[-1].summary.total_rows == 200_000


def test_what_was_acknowledged_outlives_sigkill_and_old_tokens_hold(tmp_path: Path) -> None:
    db = tmp_path / "events.duckdb"
    with server_process(db) as server, grpc.insecure_channel(server.address) as channel:
        assert IngestServiceStub(channel).IngestEvents(EVENTS).last_sequence == 1500
        request = StreamEventsRequest(columns=["sequence", "thread_name"], max_batch_bytes=100_000)
        stream = ExportServiceStub(channel).StreamEvents(request)
        token = [next(stream), next(stream)][1].batch.resume_token
        stream.cancel()
        server.stop(signal.SIGKILL)

    request.resume_token = token
    with server_process(db) as server, grpc.insecure_channel(server.address) as channel:
        head, *answers = ExportServiceStub(channel).StreamEvents(request)
        rest = [event.sequence for answer in answers for event in answer.batch.rows.events]
        assert rest == list(range(head.header.first_row + 1, 1501))
        assert 0 < head.header.first_row < 1500
        assert IngestServiceStub(channel).IngestEvents(EVENTS).first_sequence == 1501


@pytest.mark.parametrize("round_", range(3))
def test_sigkill_in_the_middle_of_ingest_loses_nothing_acknowledged(tmp_path: Path, round_: int) -> None:
    db = tmp_path / "events.duckdb"
    acknowledged = 0
    with server_process(db) as server, grpc.insecure_channel(server.address) as channel:
        stub = IngestServiceStub(channel)
        enough = threading.Event()

        def ingest_until_killed() -> None:
            nonlocal acknowledged
            try:
                while True:
                    acknowledged = stub.IngestEvents(EVENTS).last_sequence
                    if acknowledged >= 1500 * (round_ + 1):
                        enough.set()
            except grpc.RpcError as error:
                if error.code() != grpc.StatusCode.UNAVAILABLE:
                    raise

        writer = threading.Thread(target=ingest_until_killed)
        writer.start()
        assert enough.wait(timeout=60)
        server.stop(signal.SIGKILL)
        writer.join()

    with server_process(db) as server, grpc.insecure_channel(server.address) as channel:
        request = StreamEventsRequest(columns=["sequence"], order=Order.ORDER_ARRIVAL)
        answers = ExportServiceStub(channel).StreamEvents(request)
        stored = [event.sequence for answer in answers for event in answer.batch.rows.events]
    assert stored == list(range(1, len(stored) + 1))
    assert len(stored) % 1500 == 0  # a batch is there whole or not at all
    assert len(stored) >= acknowledged


def test_health_and_reflection_answer(tmp_path: Path) -> None:
    with (
        server_process(tmp_path / "events.duckdb") as server,
        grpc.insecure_channel(server.address) as channel,
    ):
        for service in ("", "argus_grpc.v1.ExportService", "argus_grpc.v1.IngestService"):
            answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=service))
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        question = reflection_pb2.ServerReflectionRequest(list_services="")
        (listed,) = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(iter([question]))
        names = {service.name for service in listed.list_services_response.service}
        assert {"argus_grpc.v1.ExportService", "argus_grpc.v1.IngestService"} <= names


def test_a_second_server_on_the_same_file_or_port_is_refused(tmp_path: Path) -> None:
    db = tmp_path / "events.duckdb"
    with server_process(db) as server:
        same_file = run_server("--db", str(db), "--listen", "127.0.0.1:0")
        assert same_file.returncode == 1
        assert f"cannot open the database {db}" in same_file.stderr
        same_port = run_server("--db", str(tmp_path / "other.duckdb"), "--listen", server.address)
        assert same_port.returncode == 1
        assert f"cannot listen on {server.address}" in same_port.stderr


def _serves(channel: grpc.Channel) -> bool:
    try:
        answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
    except grpc.RpcError as refusal:
        # CANCELLED: the stop itself caught the call.
        if refusal.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED):
            return False
        raise
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


@pytest.mark.parametrize(
    ("flags", "environment", "said"),
    [
        (
            ["--listen", "0.0.0.0:0"],
            {},
            "--listen: 0.0.0.0:0 can be reached from other machines, which needs TLS (--tls-cert and"
            " --tls-key) and to know who calls (--tokens, --jwt-jwks or --tls-client-ca); or --insecure,"
            " but then everyone who reaches it can read and write all events and whoever is on the way",
        ),
        (["--listen", "example.org:1"], {}, "or --insecure"),
        (["--listen", "[::]:1", "--tls-cert", "c", "--tls-key", "k"], {}, "which needs to know who calls"),
        (["--listen", "[::]:1", "--tokens", "t"], {}, "which needs TLS (--tls-cert and --tls-key); or"),
        (["--tls-cert", "c"], {}, "--tls-key: is needed with --tls-cert"),
        (["--tls-key", "k"], {}, "--tls-cert: is needed with --tls-key"),
        ([], {"ARGUS_TLS_CLIENT_CA": "ca"}, "--tls-cert: is needed with --tls-client-ca"),
        (["--jwt-jwks", "k", "--jwt-issuer", "i"], {}, "--jwt-audience: is needed with --jwt-jwks"),
        (["--jwt-name-claim", "email"], {}, "--jwt-jwks: is needed with --jwt-name-claim"),
        (
            ["--jwt-jwks", "http://example.org/keys"],
            {},
            "allowed: a file, an https address, or an http address",
        ),
        (["--listen", "nonsense"], {}, "--listen: 'nonsense' is not an address; write HOST:PORT"),
        (["--max-exports", "0"], {}, "--max-exports: Input should be greater than or equal to 1, not 0"),
        (
            [],
            {"ARGUS_MEMORY_LIMIT": "lots"},
            "ARGUS_MEMORY_LIMIT: could not parse value and unit from byte string, not 'lots'",
        ),
        ([], {"ARGUS_TOKEN_KEY": "sesame"}, "ARGUS_TOKEN_KEY: String should have at least 32 characters"),
        (["--config", "missing.toml"], {}, "'missing.toml' does not exist"),
    ],
)
def test_a_configuration_that_does_not_fit_is_refused_by_name(
    flags: list[str], environment: dict[str, str], said: str
) -> None:
    refused = run_server(*flags, environment=environment)
    assert refused.returncode == 2
    assert said in " ".join(refused.stderr.split())
    assert "Traceback" not in refused.stderr
    assert "sesame" not in refused.stderr


def test_every_mistake_of_a_file_is_named_at_once(tmp_path: Path) -> None:
    file = tmp_path / "server.toml"
    file.write_text('max_exports = "many"\ntoken_lifetime_s = 1\nsurprise = true\n')
    refused = run_server("--config", str(file))
    assert refused.returncode == 2
    for name in ("max_exports", "token_lifetime_s", "surprise"):
        assert name in refused.stderr


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "events.duckdb"
    file.write_text("hello")
    refused = run_server("--db", str(file), "--listen", "127.0.0.1:0")
    assert refused.returncode == 1
    assert f"cannot open the database {file}" in refused.stderr
    assert "Traceback" not in refused.stderr
