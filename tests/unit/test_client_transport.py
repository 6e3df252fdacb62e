"""What is spoken to whom: in plaintext or over TLS, and with which token."""

import os
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argus_client import ExportClient, InvalidRequest, Tls, TokenFile
from argus_client.tokens import check_token
from argus_client.transport import choose_tls, first_address, is_loopback

TOKEN_CHARACTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/")

LOOPBACK = [
    "localhost:50051",
    "LocalHost",
    "127.0.0.1:50051",
    "127.8.9.10:1",
    "[::1]:50051",
    "::1",
    "unix:/run/argus.sock",
    "unix:///run/argus.sock",
    "unix-abstract:argus",
    "dns:localhost:50051",
    "dns:///localhost:50051",
    "ipv4:127.0.0.1:1,127.0.0.2:1",
    "ipv6:[::1]:50051",
]
ELSEWHERE = [
    "argus.example:50051",
    "localhost.example:50051",
    "127.0.0.1.example:50051",
    "127.1:50051",
    "0.0.0.0:50051",
    "10.0.0.1:50051",
    "[::]:50051",
    "[2001:db8::1]:50051",
    # Another machine says where that is.
    "dns://10.0.0.1/localhost:50051",
    "dns://localhost",
    "ipv4:127.0.0.1:1,10.0.0.1:1",
    "xds:///localhost:50051",
    "localhost@argus.example:50051",
    "",
]


@pytest.mark.parametrize("target", LOOPBACK)
def test_a_server_on_this_machine_is_spoken_to_in_plaintext_unless_tls_is_asked_for(target: str) -> None:
    assert is_loopback(target)
    assert choose_tls(target, None, insecure=False) is None
    assert choose_tls(target, Tls(), insecure=False) == Tls()


@pytest.mark.parametrize("target", ELSEWHERE)
def test_any_other_over_tls_unless_insecure_is_asked_for(target: str) -> None:
    assert not is_loopback(target)
    assert choose_tls(target, None, insecure=False) == Tls()
    assert choose_tls(target, None, insecure=True) is None


@pytest.mark.parametrize(
    ("target", "address"),
    [
        ("localhost:50051", ("localhost", 50051)),
        ("dns:///argus.example:443", ("argus.example", 443)),
        ("ipv6:[2001:db8::1]:7,[::1]:8", ("2001:db8::1", 7)),
        ("argus.example", None),
        ("unix:/run/argus.sock", None),
    ],
)
def test_the_address_that_a_target_names_first(target: str, address: tuple[str, int] | None) -> None:
    assert first_address(target) == address


def test_tls_and_insecure_contradict_each_other() -> None:
    with pytest.raises(InvalidRequest, match=r"^insecure: True is not allowed together with tls$"):
        ExportClient(tls=Tls(), insecure=True)


@pytest.mark.parametrize(("given_", "missing"), [("cert", "key"), ("key", "cert")])
def test_a_certificate_needs_its_key(given_: str, missing: str) -> None:
    with pytest.raises(InvalidRequest, match=rf"^tls\.{missing}: unset is not allowed with tls\.{given_}; "):
        Tls(**{given_: "file.pem"})


@given(st.text(st.sampled_from(sorted(TOKEN_CHARACTERS)), min_size=1), st.integers(0, 2))
def test_any_token_of_rfc_6750_is_taken(token: str, padding: int) -> None:
    check_token(token + "=" * padding)


@given(st.text())
def test_no_other_is_taken_and_the_message_does_not_show_it(token: str) -> None:
    body = token.rstrip("=")
    if body and TOKEN_CHARACTERS.issuperset(body):
        check_token(token)
        return
    with pytest.raises(InvalidRequest) as caught:
        ExportClient(token=token)
    told = str(caught.value)
    assert told.startswith("token: it ")
    assert told.isprintable()
    if token:
        place = int(told.split("character ")[1].split(",")[0])
        assert repr(token[place - 1]) in told
        assert TOKEN_CHARACTERS.issuperset(token[: place - 1].rstrip("="))
    # A short one may be in any sentence.
    if len(token) > 20:
        assert token not in told


def test_a_token_that_comes_later_is_refused_at_the_call() -> None:
    with ExportClient("127.0.0.1:1", token=lambda: "one\ntwo") as client:
        for call in (client.columns, client.plan, client.export().to_arrow):
            with pytest.raises(InvalidRequest, match=r"^token: .* character 4, '\\n'"):
                call()


def test_a_token_file_is_read_each_time(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("first\n")
    token = TokenFile(path)
    assert token() == "first"
    path.write_bytes(b"\r\n second\r\n")
    assert token() == "second"
    for content, told in (
        (b"", "what is in .* is empty"),
        (b"two words", "what is in .* cannot be one, because of its character 4, ' '"),
        (b"\xff", "because of its character 1"),
        (b"t" * 8193, "has more than 8,192 bytes"),
    ):
        path.write_bytes(content)
        with pytest.raises(InvalidRequest, match=rf"^token: .*{told}"):
            token()
    path.unlink()
    with pytest.raises(InvalidRequest, match=rf"^token: {path} cannot be read: No such file"):
        token()


def test_a_token_out_of_a_pipe_is_read_once(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_text("secret\n"))
    writer.start()
    token = TokenFile(pipe)
    writer.join()
    assert [token(), token()] == ["secret", "secret"]


@pytest.mark.parametrize("what", ["missing.pem", "text.pem", "."])
@pytest.mark.parametrize("field", ["ca", "cert"])
def test_a_file_that_is_no_certificate_is_named_before_anything_is_sent(
    tmp_path: Path, what: str, field: str
) -> None:
    (tmp_path / "text.pem").write_text("hello")
    path = tmp_path / what
    tls = Tls(ca=path) if field == "ca" else Tls(cert=path, key=path)
    with pytest.raises(InvalidRequest, match=rf"^tls\.{field}: {path} ") as caught:
        ExportClient("127.0.0.1:1", tls=tls)
    assert [violation.field for violation in caught.value.violations] == [f"tls.{field}"]
