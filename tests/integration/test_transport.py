"""TLS of the server, and callers who are known by their certificates."""

import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
import trustme
from cryptography import x509

from argus_grpc.server import Server
from argus_grpc.v1.export_pb2 import ListColumnsRequest, StreamEventsRequest
from argus_grpc.v1.export_pb2_grpc import ExportServiceStub
from tests.identities import TlsFiles, bearer, make_token, tls_server
from tests.refusals import PATIENCE_S, outcome, outcome_of, wait_until

REFUSED = "UNAUTHENTICATED NOT_AUTHENTICATED"
DENIED = "PERMISSION_DENIED NOT_PERMITTED"
# trustme puts a unit of organisation of its own between the two.
POLICY = """
[certificates]
"CN=agent-7,*" = "reader"
"CN=agent-8,*" = "writer"
"""


@pytest.fixture
def tls(tmp_path: Path) -> TlsFiles:
    return TlsFiles(tmp_path)


def columns(channel: grpc.Channel, metadata: tuple[tuple[str, str], ...] = ()) -> Callable[[], object]:
    return lambda: ExportServiceStub(channel).ListColumns(
        ListColumnsRequest(), metadata=metadata, timeout=PATIENCE_S
    )


def served_serial(server: Server) -> int:
    """Of the certificate that a new connection is shown."""
    host, _, port = server.address.partition(":")
    pem = ssl.get_server_certificate((host, int(port)), timeout=PATIENCE_S)
    return x509.load_pem_x509_certificate(pem.encode()).serial_number


def serial(tls: TlsFiles) -> int:
    return x509.load_pem_x509_certificate(tls.cert.read_bytes()).serial_number


def test_tls_is_served_to_who_trusts_it_and_nothing_to_others(tmp_path: Path, tls: TlsFiles) -> None:
    with tls_server(tmp_path, tls) as server:
        with tls.channel(server.address) as channel:
            assert outcome(columns(channel)) == "OK"
        with TlsFiles(tmp_path_of(tmp_path, "other")).channel(server.address) as channel:
            assert outcome(columns(channel)) == "UNAVAILABLE"
        with grpc.insecure_channel(server.address) as channel:
            assert outcome(columns(channel)) == "UNAVAILABLE"


def tmp_path_of(tmp_path: Path, name: str) -> Path:
    folder = tmp_path / name
    folder.mkdir()
    return folder


def test_a_new_certificate_is_for_new_connections(tmp_path: Path, tls: TlsFiles) -> None:
    with tls_server(tmp_path, tls) as server, tls.channel(server.address) as old:
        assert outcome(columns(old)) == "OK"
        follow = ExportServiceStub(old).StreamEvents(StreamEventsRequest(columns=["sequence"], follow=True))
        next(follow)
        first = served_serial(server)
        tls.rotate()
        assert serial(tls) != first
        wait_until(lambda: served_serial(server) == serial(tls))
        assert outcome(columns(old)) == "OK"
        assert follow.is_active()
        with tls.channel(server.address) as new:
            assert outcome(columns(new)) == "OK"
        follow.cancel()


def test_a_pair_that_does_not_fit_changes_nothing(tmp_path: Path, tls: TlsFiles) -> None:
    with tls_server(tmp_path, tls) as server:
        first = served_serial(server)
        key = tls.key.read_bytes()
        tls.rotate()
        new = tls.key.read_bytes()
        for wrong in (key, b"", new[:100]):
            tls.key.write_bytes(wrong)
            for _ in range(3):
                server._entrance._tls.look()  # type: ignore[union-attr]
            assert served_serial(server) == first
        tls.key.write_bytes(new)
        wait_until(lambda: served_serial(server) == serial(tls))


@contextmanager
def mutual(tmp_path: Path, tls: TlsFiles, **settings: Any) -> Iterator[Server]:
    policy = tmp_path / "policy.toml"
    policy.write_text(POLICY)
    with tls_server(tmp_path, tls, mutual=True, policy=policy, **settings) as server:
        yield server


def agent(tls: TlsFiles, name: str = "agent-7", **kwargs: Any) -> trustme.LeafCert:
    return tls.client_cert(name, **kwargs)


def test_a_certificates_subject_has_the_role_of_the_policy(tmp_path: Path, tls: TlsFiles) -> None:
    with mutual(tmp_path, tls) as server:
        for name, expected in (("agent-7", "OK"), ("agent-8", DENIED), ("agent-9", DENIED)):
            with tls.channel(server.address, agent(tls, name)) as channel:
                assert outcome(columns(channel)) == expected
        for stranger in (None, trustme.CA().issue_cert("x@y", common_name="agent-7")):
            with tls.channel(server.address, stranger) as channel:
                assert outcome(columns(channel)) == "UNAVAILABLE"


def test_an_expired_certificate_lets_nobody_in(tmp_path: Path, tls: TlsFiles) -> None:
    over = datetime.now(UTC) - timedelta(days=1)
    with (
        mutual(tmp_path, tls) as server,
        tls.channel(server.address, agent(tls, not_after=over)) as channel,
    ):
        assert outcome(columns(channel)) == "UNAVAILABLE"


def test_a_certificate_expires_on_a_connection_too(tmp_path: Path, tls: TlsFiles) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=3)
    with (
        mutual(tmp_path, tls) as server,
        tls.channel(server.address, agent(tls, not_after=soon)) as channel,
    ):
        assert outcome(columns(channel)) == "OK"
        wait_until(lambda: outcome(columns(channel)) == REFUSED)
        with pytest.raises(grpc.RpcError) as refused:
            columns(channel)()
        assert "expired" in str(refused.value.details())


def test_a_bearer_goes_before_the_certificate_also_a_bad_one(tmp_path: Path, tls: TlsFiles) -> None:
    tokens = tmp_path / "tokens.json"
    token = make_token(tokens, "ann", "writer")
    with (
        mutual(tmp_path, tls, tokens=tokens) as server,
        tls.channel(server.address, agent(tls)) as channel,
    ):
        assert outcome(columns(channel)) == "OK"
        assert outcome(columns(channel, bearer(token))) == DENIED
        assert outcome(columns(channel, bearer(token[:-1]))) == REFUSED
        assert outcome(columns(channel, bearer("nonsense"))) == REFUSED


def test_an_authority_that_is_taken_out_lets_nobody_in_any_more(tmp_path: Path, tls: TlsFiles) -> None:
    """Not on connections, nor by intermediates, nor in streams from before."""
    between = tls.client_authority.create_child_ca().issue_cert(
        "agent-7@example.org", common_name="agent-7", organization_name="acme"
    )
    with (
        mutual(tmp_path, tls) as server,
        tls.channel(server.address, agent(tls)) as channel,
        tls.channel(server.address, between) as other,
    ):
        assert outcome(columns(channel)) == outcome(columns(other)) == "OK"
        follow = ExportServiceStub(channel).StreamEvents(
            StreamEventsRequest(columns=["sequence"], follow=True), timeout=PATIENCE_S
        )
        next(follow)
        new = trustme.CA()
        tls.client_ca.write_bytes(new.cert_pem.bytes() + tls.client_authority.cert_pem.bytes())
        wait_until(lambda: len(server._entrance._tls.authorities) == 2)  # type: ignore[union-attr]
        assert outcome(columns(channel)) == outcome(columns(other)) == "OK"
        assert follow.is_active()
        tls.client_ca.write_bytes(new.cert_pem.bytes())
        wait_until(lambda: outcome(columns(channel)) == REFUSED)
        assert outcome(columns(other)) == REFUSED
        with pytest.raises(grpc.RpcError) as ending:
            list(follow)
        assert outcome_of(ending.value) == "UNAVAILABLE ACCESS_CHANGED"


def test_a_role_that_is_taken_away_ends_streams(tmp_path: Path, tls: TlsFiles) -> None:
    with mutual(tmp_path, tls) as server, tls.channel(server.address, agent(tls)) as channel:
        stub = ExportServiceStub(channel)
        follow = stub.StreamEvents(StreamEventsRequest(columns=["sequence"], follow=True), timeout=PATIENCE_S)
        next(follow)
        (tmp_path / "policy.toml").write_text(POLICY.replace("agent-7", "agent-x"))
        with pytest.raises(grpc.RpcError) as ending:
            list(follow)
        assert outcome_of(ending.value) == "UNAVAILABLE ACCESS_CHANGED"
        assert outcome(columns(channel)) == DENIED
