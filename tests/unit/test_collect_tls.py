"""What is received over TLS, and what is said when that does not come about."""

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from argus_client.collect.argus_socket import ArgusSocket
from argus_client.collect.counts import Counts
from argus_client.collect.spool import Spool
from tests.argus_peer import ArgusPeer, thread_start
from tests.certificates import Authority, write
from tests.collector_process import wait_until


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def peer_of(authority: Authority, name: str) -> ArgusPeer:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(write(authority.issue(name), authority.folder / "server.pem"))
    return ArgusPeer(context)


@contextmanager
def receiving(url: str, folder: Path) -> Iterator[tuple[Counts, list[str]]]:
    """What has been received, and said, so far."""
    counts, said, stopped = Counts(), list[str](), threading.Event()
    with Spool(folder / "spool", 1 << 20, said.append) as spool:
        receiver = ArgusSocket(url, "live", spool, counts, said.append)
        thread = threading.Thread(target=receiver.run, args=(stopped,))
        thread.start()
        try:
            yield counts, said
        finally:
            stopped.set()
            thread.join()


def test_whom_the_system_trusts_is_received_from(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    with peer_of(authority, "127.0.0.1") as peer, receiving(peer.url, tmp_path) as (counts, _):
        peer.happen([thread_start(1)])
        wait_until(lambda: counts.events == 1)


@pytest.mark.parametrize(
    ("name", "is_trusted", "told"),
    [
        ("127.0.0.1", False, "its certificate is not good (unable to get local issuer certificate)"),
        ("a.example", True, "its certificate is not good (IP address mismatch, "),
    ],
)
def test_others_are_not_and_it_is_said_why(
    authority: Authority,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    is_trusted: bool,
    told: str,
) -> None:
    if is_trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    with peer_of(authority, name) as peer, receiving(peer.url, tmp_path) as (counts, said):
        wait_until(lambda: bool(said))
        assert said[0].startswith(f"{peer.url}: {told}")
    assert counts.messages == 0


def test_a_peer_that_speaks_no_tls(tmp_path: Path) -> None:
    with ArgusPeer() as peer, receiving(peer.url.replace("ws:", "wss:"), tmp_path) as (_, said):
        wait_until(lambda: bool(said))
        assert "TLS with it does not come about (" in said[0]
