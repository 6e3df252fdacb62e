"""grpc.health.v1 by service, and reflection, as an operator's tools meet them."""

import contextlib
import threading
from collections.abc import Iterable
from pathlib import Path

import grpc
import pytest
from click.testing import CliRunner
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from structlog.testing import capture_logs

from argus_grpc.commands.health import health
from argus_grpc.config import Config
from argus_grpc.server import Server
from argus_grpc.v1.export_pb2 import PlanExportRequest
from tests.conftest import RunningServer, start_server
from tests.processes import run_server
from tests.refusals import wait_until

pytestmark = pytest.mark.duckdb

SERVICES = ("argus_grpc.v1.ExportService", "argus_grpc.v1.IngestService", "")
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


def statuses(server: RunningServer) -> set[int]:
    stub = health_pb2_grpc.HealthStub(server.channel)
    return {stub.Check(health_pb2.HealthCheckRequest(service=service)).status for service in SERVICES}


def test_a_database_that_is_lost_is_not_served_from(tmp_path: Path) -> None:
    config = Config(no_persistence=True, listen="127.0.0.1:0", shutdown_grace_s=1)
    with Server(config) as running, grpc.insecure_channel(running.address) as channel:
        server = RunningServer(running, tmp_path, channel)
        assert statuses(server) == {SERVING}
        # As DuckDB leaves it when it has given up: what was in memory cannot be opened again.
        server.server._store._database._is_given_up = True
        wait_until(lambda: statuses(server) == {NOT_SERVING})


def test_a_database_that_can_be_opened_again_is_served_from(server: RunningServer) -> None:
    first = server.server._store._database._connection
    server.server._store._database._is_given_up = True
    wait_until(lambda: server.server._store._database._connection is not first)
    assert statuses(server) == {SERVING}


def test_where_a_database_is_that_cannot_be_opened_again_is_not_told(
    server: RunningServer,
) -> None:
    path = server.store_path
    path.rename(path.with_suffix(".moved"))
    path.write_bytes(b"no database" * 1_000)
    with capture_logs() as logged:
        server.server._store._database._is_given_up = True
        with pytest.raises(grpc.RpcError) as refusal:
            server.exports.PlanExport(PlanExportRequest())
    assert refusal.value.code() == grpc.StatusCode.UNAVAILABLE
    assert refusal.value.details() == "the database cannot be opened"
    told = [line["error"] for line in logged if line["event"] == "database_unreadable"]
    assert told
    assert all(f"cannot open the database {path}" in line for line in told)


def see_on(watch: Iterable[health_pb2.HealthCheckResponse], seen: list[int]) -> None:
    # The stop ends the call, too.
    with contextlib.suppress(grpc.RpcError):
        seen.extend(answer.status for answer in watch)


def test_watchers_are_told_of_a_stop(tmp_path: Path) -> None:
    seen: list[int] = []
    for server in start_server(tmp_path):
        watch = health_pb2_grpc.HealthStub(server.channel).Watch(
            health_pb2.HealthCheckRequest(service=SERVICES[0])
        )
        seen.append(next(watch).status)

        watcher = threading.Thread(target=see_on, args=(watch, seen))
        watcher.start()
        server.server.close()
        watcher.join(timeout=30)
        break
    assert seen == [SERVING, NOT_SERVING]


def test_reflection_can_be_switched_off(tmp_path: Path) -> None:
    for server in start_server(tmp_path, reflection=False):
        question = reflection_pb2.ServerReflectionRequest(list_services="")
        stub = reflection_pb2_grpc.ServerReflectionStub(server.channel)
        with pytest.raises(grpc.RpcError) as refused:
            list(stub.ServerReflectionInfo(iter([question])))
        assert refused.value.code() == grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize("service", ["", SERVICES[0]])
def test_the_command_says_by_its_exit_code_whether_it_can_be_used(
    server: RunningServer, service: str
) -> None:
    asked = run_server("health", "--server", server.address, "--service", service)
    assert (asked.returncode, asked.stdout) == (0, "SERVING\n")


def test_the_command_tells_what_is_wrong(server: RunningServer) -> None:
    unknown = run_server("health", "--server", server.address, "--service", "argus")
    assert (unknown.returncode, "NOT_FOUND" in unknown.stderr) == (1, True)
    server.server._health.enter_graceful_shutdown()
    stopping = run_server("health", "--server", server.address)
    assert (stopping.returncode, stopping.stdout) == (1, "NOT_SERVING\n")
    gone = run_server("health", "--server", "127.0.0.1:1", "--timeout-s", "0.5")
    assert gone.returncode == 1
    assert "127.0.0.1:1" in gone.stderr


@pytest.mark.parametrize("flag", ["--tls-cert", "--tls-key", "--tls-server-name"])
def test_what_is_for_tls_is_not_dropped_without_it(flag: str) -> None:
    asked = CliRunner().invoke(health, [flag, __file__])
    assert (asked.exit_code, f"{flag} needs --tls-ca" in asked.stderr) == (2, True)
