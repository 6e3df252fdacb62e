"""The dashboard over HTTPS, and over TLS to its server."""

import json
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from argus_client import ExportClient, Tls
from argus_grpc.access.tokens_file import create_token
from argus_grpc.config import Config
from argus_grpc.server import Server
from tests.certificates import Authority, write
from tests.dashboard import DashboardProcess, ask, bearer, dashboard_process, sign_in
from tests.people import WRONG, People, start_people
from tests.refusals import wait_until

REFUSAL = "the new certificate is not taken"


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Iterator[People]:
    yield from start_people(tmp_path_factory.mktemp("server"))


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def pem(authority: Authority) -> Path:
    """The certificate and key of the dashboard, in one file."""
    return write(authority.issue("localhost", "127.0.0.1"), authority.folder / "dashboard.pem")


@pytest.fixture(scope="module")
def process(people: People, authority: Authority, pem: Path) -> Iterator[DashboardProcess]:
    flags = ["--tls-cert", str(pem), "--tls-key", str(pem)]
    with dashboard_process(authority.folder, people.server.address, *flags) as process:
        yield process


def trusting(authority: Authority) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=authority.file)


def serial_number(process: DashboardProcess, authority: Authority, name: str) -> str:
    """Of the certificate that a new connection gets."""
    parts = urlsplit(process.url)
    with (
        socket.create_connection(("127.0.0.1", parts.port or 0), timeout=30) as plain,
        trusting(authority).wrap_socket(plain, server_hostname=name) as connection,
    ):
        found = (connection.getpeercert() or {})["serialNumber"]
        assert isinstance(found, str)
        return found


def test_the_session_is_of_this_host_over_https_alone(
    people: People, process: DashboardProcess, authority: Authority
) -> None:
    assert process.url.startswith("https://")
    token, context = people.token("reader"), trusting(authority)
    answer = ask(f"{process.url}/login", "POST", form={"token": token}, context=context)
    assert answer.headers["set-cookie"].startswith("__Host-argus-session=")
    assert set(answer.headers["set-cookie"].split("; ")[1:]) == {
        "Path=/",
        "HttpOnly",
        "SameSite=Strict",
        "Secure",
    }
    cookie = sign_in(process.url, token, context=context)
    assert ask(f"{process.url}/api/columns", headers=cookie, context=context).status == 200
    # The name that plain HTTP has for it is not taken here.
    other = {"Cookie": cookie["Cookie"].removeprefix("__Host-")}
    assert ask(f"{process.url}/api/columns", headers=other, context=context).status == 401


def test_browsers_are_told_to_stay_with_https_but_not_on_localhost(
    process: DashboardProcess, authority: Authority
) -> None:
    context = trusting(authority)
    answer = ask(f"{process.url}/healthz", context=context)
    assert answer.headers["strict-transport-security"] == "max-age=31536000"
    # All ports of localhost would be meant, whoever has them.
    port = urlsplit(process.url).port
    local = ask(f"https://localhost:{port}/healthz", context=context)
    assert local.status == 200
    assert "strict-transport-security" not in local.headers


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1"], ids=["named by the client", "not named"])
def test_a_new_certificate_is_taken_and_a_broken_one_is_not(
    process: DashboardProcess, authority: Authority, pem: Path, name: str
) -> None:
    first = serial_number(process, authority, name)
    write(authority.issue("localhost", "127.0.0.1"), pem)
    wait_until(lambda: serial_number(process, authority, name) != first)
    second = serial_number(process, authority, name)

    refusals = process.log.read_text().count(REFUSAL)
    # A chain without its key, as while two files are replaced one after the other.
    pem.write_bytes(authority.issue("localhost", "127.0.0.1").cert_chain_pems[0].bytes())
    wait_until(lambda: process.log.read_text().count(REFUSAL) > refusals)
    assert serial_number(process, authority, name) == second
    assert "PRIVATE KEY" not in process.log.read_text()


def test_what_is_under_way_goes_on_when_the_certificate_changes(
    people: People, process: DashboardProcess, authority: Authority, pem: Path
) -> None:
    parts = urlsplit(process.url)
    first = serial_number(process, authority, "localhost")
    with (
        socket.create_connection(("127.0.0.1", parts.port or 0), timeout=30) as plain,
        trusting(authority).wrap_socket(plain, server_hostname="localhost") as connection,
    ):
        head = f"Host: localhost\r\nAuthorization: Bearer {people.token('reader')}\r\n\r\n"
        connection.sendall(f"GET /api/follow HTTP/1.1\r\n{head}".encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 200 ")
        write(authority.issue("localhost", "127.0.0.1"), pem)
        wait_until(lambda: serial_number(process, authority, "localhost") != first)
        # A heartbeat, some seconds later.
        received = b""
        while b"event: heartbeat" not in received:
            more = connection.recv(1_000)
            assert more
            received += more


@contextmanager
def asking_server(
    authority: Authority, folder: Path, policy: Path | None = None
) -> Iterator[tuple[str, str]]:
    """The address of a server that wants certificates and tokens, and one of these."""
    served, tokens = write(authority.issue("localhost"), folder / "server.pem"), folder / "tokens.json"
    token, _ = create_token(tokens, "somebody", "reader", None)
    config = Config(
        db=folder / "events.duckdb",
        listen="127.0.0.1:0",
        tls_cert=served,
        tls_key=served,
        tls_client_ca=authority.file,
        policy=policy,
        tokens=tokens,
    )
    with Server(config) as server:
        yield f"localhost:{server.address.rpartition(':')[2]}", token


def to_server(tls: Tls) -> list[str]:
    flags = {"--server-tls-ca": tls.ca, "--server-tls-cert": tls.cert, "--server-tls-key": tls.key}
    return [str(part) for flag in flags.items() for part in flag]


FILES = ("/export?columns=timestamp", "/api/aggregate", "/api/follow")


def test_the_files_to_the_server_may_be_half_replaced(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    own = authority.client("dashboard")
    ca, pem = authority.file, tmp_path / "dashboard.pem"
    with (
        asking_server(authority, tmp_path) as (target, token),
        dashboard_process(tmp_path, target, *to_server(own)) as process,
    ):
        good, whole = ca.read_bytes(), pem.read_bytes()

        def assert_served() -> None:
            for path in FILES:
                url, is_whole = f"{process.url}{path}", path != "/api/follow"
                assert ask(url, headers=bearer(token), whole=is_whole).status == 200, path
                refused = ask(url, headers=bearer(WRONG))
                assert refused.status == 401, path
                assert str(tmp_path).encode() not in refused.body

        ca.unlink()
        assert_served()
        ca.write_bytes(good[:100])
        pem.write_bytes(authority.issue("dashboard").cert_chain_pems[0].bytes())
        assert_served()
        ca.write_bytes(good)
        pem.write_bytes(whole)
        assert_served()


def test_strangers_are_not_told_of_the_dashboards_files_and_server(tmp_path: Path) -> None:
    authority, foreign = Authority(tmp_path), Authority(tmp_path, "foreign")
    own = foreign.client("foreign-dashboard")
    # The server's authority is trusted, but does not know the dashboard's certificate.
    flags = to_server(Tls(authority.file, own.cert, own.key))
    with (
        asking_server(authority, tmp_path) as (target, token),
        dashboard_process(tmp_path, target, *flags) as process,
    ):
        answers = [ask(f"{process.url}/login", "POST", form={"token": token})]
        for path in (*FILES, "/api/plan", "/export?download_id=strangers"):
            answers.append(ask(f"{process.url}{path}", headers=bearer(token)))
        log = process.log.read_text()
        for answer in answers:
            assert answer.status == 503
            told = json.loads(answer.body)
            assert told["detail"].startswith("the Argus server cannot be reached; ")
            assert told["requestId"] in log
            for secret in (str(tmp_path), target, target.rpartition(":")[2]):
                assert secret.encode() not in answer.body
        assert f"seems not to take the client certificate {own.cert}" in log


def test_nobody_is_taken_for_the_dashboard_itself(authority: Authority, tmp_path: Path) -> None:
    """The server knows the dashboard by a certificate that may do everything; no caller has that."""
    own = authority.client("dashboard")
    policy = tmp_path / "policy.toml"
    policy.write_text('[certificates]\n"*" = "admin"\n')
    with asking_server(authority, tmp_path, policy) as (target, token):
        with ExportClient(target, tls=Tls(own.ca, own.cert, own.key)) as client:
            # So much for what the certificate alone would give.
            assert client.columns()
        with dashboard_process(tmp_path, target, *to_server(Tls(own.ca, own.cert, own.key))) as process:
            url = process.url
            for path in (
                "/api/columns",
                "/api/plan",
                "/api/events",
                "/api/aggregate",
                "/export",
                "/api/follow",
            ):
                assert ask(f"{url}{path}").status == 401, path
            assert ask(f"{url}/healthz").status == 200
            assert ask(f"{url}/api/columns", headers=bearer(token)).status == 200
            assert ask(f"{url}/api/columns", headers=sign_in(url, token)).status == 200
