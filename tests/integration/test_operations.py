"""What docs/operations.md and deploy/ say is so: commands run, names are there, files are taken."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import grpc
import pytest

from argus_grpc.audit import AuditLog
from argus_grpc.metrics import Metrics
from argus_grpc.settings import BadSettings, load_config
from argus_grpc.v1.export_pb2 import PlanExportRequest, StreamEventsRequest
from tests.conftest import start_server
from tests.processes import ENVIRONMENT

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "operations.md").read_text()
DEPLOY = ROOT / "deploy"


def blocks(heading: str) -> str:
    """The commands that are to be run, of a section."""
    section = TEXT.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return "\n".join(re.findall(r"```sh\n(.*?)```", section, flags=re.DOTALL))


def run(script: str, folder: Path) -> str:
    programs = f"""
        argus-server() {{ {sys.executable} -m argus_grpc.main "$@"; }}
        python() {{ {sys.executable} "$@"; }}
    """
    for path in ("/etc/argus", "/var/log/argus"):
        script = script.replace(path, str(folder))
    command = ["bash", "-euc", f"{programs}\n{script}"]
    environment = ENVIRONMENT | {"PYTHONPATH": f"{ROOT}:{ROOT / 'clients'}"}
    ended = subprocess.run(
        command, capture_output=True, text=True, cwd=folder, env=environment, timeout=120, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_the_commands_of_the_first_start_run(tmp_path: Path) -> None:
    shutil.copy(ROOT / "examples" / "policy.toml", tmp_path)
    said = run(blocks("First start"), tmp_path)
    assert "is in order" in said
    assert "all that begin with prod-" in said
    assert (tmp_path / "ada.token").read_text().startswith("argus_")


def test_the_audit_log_can_be_read_as_it_says(tmp_path: Path) -> None:
    for server in start_server(tmp_path, audit_log=tmp_path / "audit.jsonl"):
        server.exports.PlanExport(PlanExportRequest())
        with pytest.raises(grpc.RpcError, match="secret_plans"):
            server.exports.PlanExport(PlanExportRequest(columns=["secret_plans"]))
        list(server.exports.StreamEvents(StreamEventsRequest()))
    with (tmp_path / "audit.jsonl").open("a") as file:
        file.write('{"time":"2026')
    said = run(blocks("The audit log"), tmp_path)
    assert "anonymous" in said
    assert "INVALID_FIELD" in said


def test_the_metrics_that_it_names_are_there(tmp_path: Path) -> None:
    metrics = Metrics()
    for server in start_server(tmp_path):
        metrics.watch_store(server.server._store)
        metrics.watch_queue(lambda: 0)
        log = AuditLog(tmp_path / "audit.jsonl")
        metrics.watch_audit(log)
        known = {family.name for family in metrics.registry.collect()}
        log.close()
    named = set(re.findall(r"\bargus_(?!grpc)[a-z_]+", TEXT)) - {"argus_"}
    assert len(named) > 10
    assert {re.sub(r"_(total|bucket)$", "", name) for name in named} <= known


def test_the_log_entries_that_it_names_are_written() -> None:
    source = "".join(file.read_text() for file in (ROOT / "argus_grpc").rglob("*.py"))
    named = re.findall(r"log `([a-z_]+)`", TEXT)
    assert len(named) > 3
    assert [name for name in named if f'"{name}"' not in source] == []


def test_the_example_settings_are_taken() -> None:
    with pytest.raises(BadSettings) as refused:
        load_config({}, DEPLOY / "argus-server.toml", {})
    # But for the files, which are not there.
    assert {mistake.split(" in ")[0] for mistake in refused.value.mistakes} <= {
        "tls_cert",
        "tls_key",
        "tokens",
        "policy",
        "audit_log",
    }


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd here")
def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    unit = tmp_path / "argus-server.service"
    text = (DEPLOY / "argus-server.service").read_text()
    unit.write_text(text.replace("/opt/argus/bin/argus-server", sys.executable))
    verified = subprocess.run(
        ["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (verified.returncode, verified.stderr) == (0, "")
