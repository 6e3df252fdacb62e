"""Signing in, end to end: argus-server with TLS and tokens, and argus-client, with files that are
replaced meanwhile."""

import csv
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from argus_client import EventQuery, ExportClient, NotSignedIn, Tls, TokenFile
from argus_grpc.access.tokens_file import revoke_tokens
from argus_grpc.v1.event_pb2 import Event, EventType
from tests.argus_peer import ArgusPeer, thread_start
from tests.collector_process import collector_process
from tests.identities import TlsFiles, id_of, make_token, tls_server
from tests.processes import ENVIRONMENT, ServerProcess, server_process
from tests.refusals import wait_until

SOURCES = ["orders", "billing", "orders"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With events, tokens, certificates and the files that a client needs."""
    folder = tmp_path_factory.mktemp("sign-in")
    (folder / "events.jsonl").write_text(
        "".join(
            f'{{"timestamp":"2024-01-01T00:00:00.{number:03}Z","eventType":"GC_PAUSE","source":"{source}"}}\n'
            for number, source in enumerate(SOURCES)
        )
    )
    for name in ("writer", "reader"):
        (folder / f"{name}.token").write_text(make_token(folder / "tokens.json", name, name) + "\n")
    (folder / "ca.pem").write_bytes(TlsFiles(folder).authority.cert_pem.bytes())
    return folder


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[ServerProcess]:
    with server_process(
        folder / "events.duckdb",
        *("--tls-cert", str(folder / "cert.pem"), "--tls-key", str(folder / "key.pem")),
        *("--tokens", str(folder / "tokens.json")),
    ) as server:
        yield server


def run_client(server: ServerProcess, folder: Path, *args: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "argus_client", *args, "--server", server.address, "--tls-ca", "ca.pem"]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=60, env=ENVIRONMENT, cwd=folder, check=False
    )


def test_a_token_and_a_trusted_authority_are_all_that_it_takes(folder: Path, server: ServerProcess) -> None:
    stored = run_client(server, folder, "ingest", "events.jsonl", "--token-file", "writer.token")
    assert stored.returncode == 0, stored.stderr
    written = run_client(
        server, folder, "export", "--columns", "source", "--token-file", "reader.token", "-o", "a.csv"
    )
    assert written.returncode == 0, written.stderr
    with (folder / "a.csv").open(newline="") as file:
        assert [row["source"] for row in csv.DictReader(file)] == SOURCES


def test_otherwise_the_exit_code_is_4_and_it_says_what_to_do(folder: Path, server: ServerProcess) -> None:
    missing = run_client(server, folder, "export", "-o", "b.csv")
    (folder / "wrong.token").write_text("argus_0_wrong\n")
    wrong = run_client(server, folder, "export", "--token-file", "wrong.token", "-o", "b.csv")
    reading = run_client(server, folder, "ingest", "events.jsonl", "--token-file", "reader.token")
    assert [missing.returncode, wrong.returncode, reading.returncode] == [4, 4, 4]
    assert "No token was sent. Pass --token-file FILE or set ARGUS_TOKEN" in missing.stderr
    assert "The token from wrong.token was sent." in wrong.stderr
    assert "IngestEvents is not open to the role 'reader'" in reading.stderr
    assert not [path.name for path in folder.iterdir() if path.name.startswith("b.csv")]


def test_a_collector_keeps_events_until_its_token_is_a_good_one(
    folder: Path, server: ServerProcess, tmp_path: Path
) -> None:
    token_file = tmp_path / "token"
    token_file.write_text("argus_0_wrong\n")
    ca = folder / "ca.pem"
    options = ("--server", server.address, "--tls-ca", str(ca), "--token-file", str(token_file))
    with (
        ArgusPeer() as peer,
        collector_process(tmp_path, peer.url, *options, "--source", "live") as collector,
    ):
        peer.happen([thread_start(1)])
        wait_until(lambda: f"The token from {token_file} was sent." in collector.said)
        assert "events wait in" in collector.said
        token_file.write_text((folder / "writer.token").read_text())
        wait_until(lambda: "the server takes events again" in collector.said)
        assert collector.stop() == 0
    with ExportClient(server.address, token=TokenFile(folder / "reader.token"), tls=Tls(ca)) as client:
        assert client.export(EventQuery(sources="live")).to_arrow()["thread_id"].to_pylist() == [1]


def test_token_and_certificate_are_replaced_while_an_export_runs(tmp_path: Path) -> None:
    tokens, token_file, files = tmp_path / "tokens.json", tmp_path / "token", TlsFiles(tmp_path)
    old = make_token(tokens, "rita", "admin")
    token_file.write_text(old)
    events = [
        Event(timestamp=n, event_type=EventType.EVENT_TYPE_GC_PAUSE, source="s", gc_cause="c" * 200)
        for n in range(1, 10_001)
    ]
    ca = tmp_path / "ca.pem"
    ca.write_bytes(files.authority.cert_pem.bytes())
    waits: list[float] = []

    def is_revoked() -> bool:
        try:
            client.as_caller(old).columns()
        except NotSignedIn:
            return True
        return False

    with (
        tls_server(tmp_path, files, tokens=tokens) as server,
        ExportClient(server.address, token=TokenFile(token_file), tls=Tls(ca)) as client,
    ):
        for first in range(0, len(events), 2_500):
            client.ingest_events(events[first : first + 2_500])
        export = client.export(
            columns="all",
            max_batch_bytes=16 * 1024,
            on_retry=lambda _attempt, wait_s, _error: waits.append(wait_s),
        )
        batches = iter(export)
        timestamps = next(batches)["timestamp"].cast("int64").to_pylist()
        token_file.write_text(make_token(tokens, "rita", "admin"))
        files.rotate()
        revoke_tokens(tokens, id_of(old))
        wait_until(is_revoked)
        for batch in batches:
            timestamps += batch["timestamp"].cast("int64").to_pylist()
    assert timestamps == [event.timestamp for event in events]
    # The stream was ended with the token, and gone on with at once.
    assert waits == [0.0]
