"""TLS between client and server, over real sockets: what is made sure of, how a failure is told, and
certificates that are replaced."""

import gc
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import grpc
import pytest
import trustme

from argus_client import Backoff, ExportClient, ServerError, ServerUnavailable, Tls, TlsFailed
from argus_client.errors import TlsProblem
from tests.certificates import Authority, credentials_of, write
from tests.scripted import EndWith, Stall, Wait, batch, header, scripted_server, summary

ONE_EVENT = (header(1), batch(0, 1), summary(1))


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("other"), "other")


def failure_at(target: str, tls: Tls | None) -> TlsFailed:
    with ExportClient(target, tls=tls) as client, pytest.raises(TlsFailed) as caught:
        client.columns()
    return caught.value


def test_an_export_over_tls(authority: Authority) -> None:
    with (
        scripted_server(*ONE_EVENT, credentials=authority.server("localhost")) as server,
        ExportClient(server.address, tls=Tls(authority.file), token="secret") as client,
    ):
        assert client.export().to_arrow().num_rows == 1
    assert server.authorizations == ["Bearer secret"]


def test_with_a_client_certificate(authority: Authority) -> None:
    credentials = authority.server("localhost", asks_clients=True)
    with (
        scripted_server(*ONE_EVENT, credentials=credentials) as server,
        ExportClient(server.address, tls=authority.client("agent-7")) as client,
    ):
        assert client.export().to_arrow().num_rows == 1


def test_the_system_says_whom_to_trust(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    with scripted_server(*ONE_EVENT, credentials=authority.server("localhost")) as server:
        assert failure_at(server.address, Tls()).problem == "untrusted"
        # As OpenSSL is told of another store.
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
        with ExportClient(server.address, tls=Tls()) as client:
            assert client.export().to_arrow().num_rows == 1


def test_the_systems_store_may_be_a_folder(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "0a1b2c3d.0").write_bytes(authority.file.read_bytes())
    (tmp_path / "README").write_text("no certificate")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "missing.pem"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    with (
        scripted_server(*ONE_EVENT, credentials=authority.server("localhost")) as server,
        ExportClient(server.address, tls=Tls()) as client,
    ):
        assert client.export().to_arrow().num_rows == 1


def test_a_name_that_is_said_takes_the_hosts_place(authority: Authority) -> None:
    with scripted_server(*ONE_EVENT, credentials=authority.server("argus.example")) as server:
        told = failure_at(server.address, Tls(authority.file))
        assert told.problem == "name"
        assert str(told).endswith(f"server at {server.address} is for argus.example, not for localhost")
        with ExportClient(server.address, tls=Tls(authority.file, server_name="argus.example")) as client:
            assert client.export().to_arrow().num_rows == 1


@pytest.mark.parametrize(
    ("names", "not_after", "problem", "told"),
    [
        (("localhost",), datetime(2021, 1, 1), "expired", "has expired, or one that it relies on"),
        (("127.0.0.2", "a.example"), None, "name", "is for 127.0.0.2 and a.example, not for localhost"),
    ],
)
def test_a_certificate_that_does_not_do(
    authority: Authority, names: tuple[str, ...], not_after: datetime | None, problem: TlsProblem, told: str
) -> None:
    credentials = credentials_of(authority.issue(*names, not_after=not_after))
    with scripted_server(credentials=credentials) as server:
        error = failure_at(server.address, Tls(authority.file))
    assert error.problem == problem
    assert str(error) == f"the certificate of the server at {server.address} {told}"


def test_a_certificate_from_someone_else(authority: Authority, other: Authority) -> None:
    with scripted_server(credentials=authority.server("localhost")) as server:
        error = failure_at(server.address, Tls(other.file))
    assert error.problem == "untrusted"
    assert str(error).endswith("is from no authority that is trusted here")


def test_a_client_certificate_that_is_missing_or_not_good(authority: Authority, other: Authority) -> None:
    with scripted_server(credentials=authority.server("localhost", asks_clients=True)) as server:
        missing = failure_at(server.address, Tls(authority.file))
        theirs = other.client("agent-7")
        refused = failure_at(server.address, Tls(authority.file, theirs.cert, theirs.key))
    assert (missing.problem, refused.problem) == ("client_certificate", "client_certificate")
    assert str(missing).endswith("hangs up: it seems to want a client certificate")
    assert str(refused).endswith(f"hangs up: it seems not to take the client certificate {theirs.cert}")


def test_plaintext_and_tls_do_not_meet(authority: Authority) -> None:
    with scripted_server() as server:
        told = failure_at(server.address, Tls(authority.file))
        assert (told.problem, str(told)) == (
            "server_plaintext",
            f"the server at {server.address} does not speak TLS",
        )
    with scripted_server(credentials=authority.server("localhost")) as server:
        told = failure_at(server.address, None)
        assert (told.problem, str(told)) == (
            "server_tls",
            f"the server at {server.address} speaks TLS, and was spoken to in plaintext",
        )


@contextmanager
def https_server(authority: Authority) -> Iterator[str]:
    """One that speaks TLS, but no HTTP/2, as far as the handshake."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(write(authority.issue("localhost"), authority.folder / "https.pem"))
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    accepted, _ = listener.accept()
                except OSError:
                    return
                try:
                    with context.wrap_socket(accepted, server_side=True) as connection:
                        connection.recv(1)
                except OSError:
                    # A client that did not like what it saw.
                    accepted.close()

        threading.Thread(target=serve, daemon=True).start()
        yield f"localhost:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)


def test_what_speaks_tls_but_not_grpc(authority: Authority) -> None:
    with https_server(authority) as address:
        error = failure_at(address, Tls(authority.file))
    assert (error.problem, str(error)) == (
        "not_grpc",
        f"what answers at {address} speaks TLS, but is no gRPC server",
    )


@pytest.mark.parametrize("uses_tls", [False, True])
def test_where_nothing_answers_tls_is_not_to_blame(authority: Authority, uses_tls: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"localhost:{listener.getsockname()[1]}"
    tls = Tls(authority.file) if uses_tls else None
    with ExportClient(address, tls=tls) as client, pytest.raises(ServerUnavailable) as caught:
        client.columns()
    assert type(caught.value) is ServerUnavailable
    assert str(caught.value) == f"no server answers at {address} — is argus-server running?"


def agent(authority: Authority, name: str, folder: Path) -> Tls:
    """The certificate of this name, in the file that is the same for all."""
    file = write(authority.issue(name), folder / "new.pem").replace(folder / "agent.pem")
    return Tls(authority.file, file, file)


def test_a_certificate_that_is_replaced_is_used_from_the_next_call_on(
    authority: Authority, tmp_path: Path
) -> None:
    replaced = threading.Event()
    steps = (header(2), batch(0, 1), Wait(replaced), batch(1, 1), summary(2))
    credentials = authority.server("localhost", asks_clients=True)
    with (
        scripted_server(*steps, then=(ONE_EVENT,), credentials=credentials) as server,
        ExportClient(server.address, tls=agent(authority, "first", tmp_path)) as client,
    ):
        under_way = iter(client.export())
        assert next(under_way).num_rows == 1
        agent(authority, "second", tmp_path)
        for _ in range(2):
            assert client.export().to_arrow().num_rows == 1
        # What was under way is not touched, even when the connection before is only its own any more.
        gc.collect()
        replaced.set()
        assert [batch.num_rows for batch in under_way] == [1]
    assert server.certificate_names == [(b"first",), (b"second",), (b"second",)]


def test_while_a_certificate_and_its_key_do_not_fit_those_before_stay_in_use(
    authority: Authority, tmp_path: Path
) -> None:
    files = Tls(authority.file, tmp_path / "cert.pem", tmp_path / "key.pem")
    first, second = authority.issue("first"), authority.issue("second")

    def replace(certificate: trustme.LeafCert, *, with_key: bool) -> None:
        certificate.cert_chain_pems[0].write_to_path(str(tmp_path / "cert.pem"))
        if with_key:
            certificate.private_key_pem.write_to_path(str(tmp_path / "key.pem"))

    def export() -> int:
        rows: int = client.export().to_arrow().num_rows
        return rows

    replace(first, with_key=True)
    with (
        scripted_server(*ONE_EVENT, credentials=authority.server("localhost", asks_clients=True)) as server,
        ExportClient(server.address, tls=files) as client,
    ):
        assert export() == 1
        replace(second, with_key=False)
        assert export() == 1
        (tmp_path / "cert.pem").unlink()
        assert export() == 1
        replace(second, with_key=True)
        assert export() == 1
    assert server.certificate_names == [(b"first",)] * 3 + [(b"second",)]


def test_closing_a_client_calls_off_what_goes_over_an_earlier_connection_too(
    authority: Authority, tmp_path: Path
) -> None:
    credentials = authority.server("localhost", asks_clients=True)
    with scripted_server(
        header(2), batch(0, 1), Stall(), then=(ONE_EVENT,), credentials=credentials
    ) as server:
        client = ExportClient(server.address, tls=agent(authority, "first", tmp_path))
        under_way = iter(client.export())
        assert next(under_way).num_rows == 1
        agent(authority, "second", tmp_path)
        assert client.export().to_arrow().num_rows == 1
        client.close()
        with pytest.raises(ServerError, match="the call was cancelled"):
            next(under_way)
        assert server.call_ended.wait(20)


def test_a_handshake_that_fails_half_way_is_tried_again_and_then_told(
    authority: Authority, other: Authority, tmp_path: Path
) -> None:
    cut = EndWith(grpc.StatusCode.UNAVAILABLE, "gone")
    ca = tmp_path / "ca.pem"
    ca.write_bytes(authority.file.read_bytes())
    waits: list[str] = []
    with (
        scripted_server(header(2), batch(0, 1), cut, credentials=authority.server("localhost")) as server,
        ExportClient(server.address, tls=Tls(ca), retry_for_s=0.3, backoff=Backoff(0.1, 0.1)) as client,
        client.export(on_retry=lambda _attempt, _wait_s, error: waits.append(str(error))) as export,
    ):
        batches = iter(export)
        assert next(batches).num_rows == 1
        ca.write_bytes(other.file.read_bytes())
        with pytest.raises(TlsFailed, match=r"is trusted here, after 1 of 2 events; tried again ") as caught:
            next(batches)
    assert caught.value.problem == "untrusted"
    assert len(server.requests) == 1
    assert all("from no authority that is trusted here, after 1 of 2 events" in told for told in waits)
