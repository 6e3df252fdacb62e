"""What argus-server says at start of its TLS, tokens and keys, and the commands that keep tokens."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import grpc
import pytest
import trustme
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from argus_grpc.access.watching import BadFile
from argus_grpc.config import Config
from argus_grpc.entrance import Entrance
from argus_grpc.main import main
from argus_grpc.v1.export_pb2 import ListColumnsRequest
from argus_grpc.v1.export_pb2_grpc import ExportServiceStub
from tests.identities import AUDIENCE, ISSUER, TlsFiles, bearer, make_token
from tests.processes import ENVIRONMENT
from tests.quick_server import quick_server
from tests.refusals import outcome


@pytest.fixture
def tls(tmp_path: Path) -> TlsFiles:
    return TlsFiles(tmp_path)


def mistakes_of(**settings: Any) -> str:
    with pytest.raises(BadFile) as refusal:
        Entrance(Config(**settings))
    return str(refusal.value)


def test_a_key_that_is_not_the_certificates_is_named(tls: TlsFiles) -> None:
    tls.key.write_bytes(trustme.CA().issue_cert("localhost").private_key_pem.bytes())
    assert mistakes_of(**tls.settings()) == f"{tls.key}: is not the key of the certificate in {tls.cert}"


def test_an_encrypted_key_is_named(tls: TlsFiles) -> None:
    key = load_pem_private_key(tls.key.read_bytes(), None)
    tls.key.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"sesame"))
    )
    assert mistakes_of(**tls.settings()) == (f"{tls.key}: is encrypted; a key without a passphrase is needed")


BROKEN_PEM = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"


@pytest.mark.parametrize("content", [b"", b"hello", BROKEN_PEM])
def test_what_is_no_pem_is_named(tls: TlsFiles, content: bytes) -> None:
    for file, what in ((tls.cert, "certificate"), (tls.key, "private key")):
        good = file.read_bytes()
        file.write_bytes(content)
        assert mistakes_of(**tls.settings()) == f"{file}: has no {what} in PEM, or a broken one"
        file.write_bytes(good)


def test_every_file_that_cannot_be_used_is_named_at_once(tmp_path: Path, tls: TlsFiles) -> None:
    (tmp_path / "tokens.json").write_text('{"version": 2, "tokens": [{"id": "x"}]}')
    (tmp_path / "jwks.json").write_text("{}")
    (tmp_path / "policy.toml").write_text('[roles.x]\nrpcs = ["Drop"]')
    tls.key.unlink()
    said = mistakes_of(
        **tls.settings(),
        tokens=tmp_path / "tokens.json",
        jwt_jwks=str(tmp_path / "jwks.json"),
        jwt_issuer=ISSUER,
        jwt_audience=AUDIENCE,
        policy=tmp_path / "policy.toml",
    )
    for mistake in (
        f"{tls.key}: cannot be read: No such file or directory",
        f"{tmp_path}/tokens.json: version: Input should be 1",
        f"{tmp_path}/tokens.json: tokens[0].name: Field required",
        f"{tmp_path}/tokens.json: tokens[0].id: String should match pattern",
        f"{tmp_path}/jwks.json: is no JWK Set",
        f"{tmp_path}/policy.toml: roles.x.rpcs[0]: allowed: ListColumns",
    ):
        assert mistake in said


def test_certificates_alone_need_a_policy_that_gives_them_roles(tmp_path: Path, tls: TlsFiles) -> None:
    assert "nobody could call" in mistakes_of(**tls.settings(mutual=True))
    (tmp_path / "policy.toml").write_text('[certificates]\n"CN=a" = "reader"')
    Entrance(Config(**tls.settings(mutual=True), policy=tmp_path / "policy.toml"))


def logged(*flags: str) -> str:
    """What a server that is stopped as soon as it is ready says on standard error."""
    command = [sys.executable, "-m", "argus_grpc.main", "--no-persistence", "--listen", "127.0.0.1:0", *flags]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.terminate()
        return process.communicate(timeout=60)[1]


def test_insecure_says_loudly_what_it_means() -> None:
    said = logged("--listen", "0.0.0.0:0", "--insecure")
    assert "WARNING: 0.0.0.0:" in said
    assert "everyone who reaches it can read and write all events" in said
    assert "whoever is on the way can read and change what is sent" in said


def test_insecure_means_nothing_on_this_machine(tmp_path: Path) -> None:
    assert Config(insecure=True).dangers() == []
    others = Config(insecure=True, listen="[::]:1", tokens=tmp_path / "tokens.json")
    assert others.dangers() == ["whoever is on the way can read and change what is sent, credentials too"]


def test_an_expired_certificate_and_an_open_key_are_warned_of(tls: TlsFiles) -> None:
    tls.rotate(days=-1)
    tls.key.chmod(0o644)
    said = logged("--tls-cert", str(tls.cert), "--tls-key", str(tls.key))
    lines = [json.loads(line) for line in said.splitlines()]
    assert {line["event"]: line["file"] for line in lines if line["level"] == "warning"} == {
        "certificate_not_valid_now": str(tls.cert),
        "private_key_readable_by_all": str(tls.key),
    }


def token_command(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["token", *map(str, arguments)])


def test_a_token_is_printed_once_and_kept_nowhere(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    made = token_command("create", "--tokens", path, "--name", "ann", "--role", "reader", "--expires", "90d")
    assert made.exit_code == 0
    _, id_, secret = made.stdout.removesuffix("\n").split("_", 2)
    assert len(secret) == 43
    assert f"ann has the token {id_}, role reader, good until 20" in made.stderr

    listed = token_command("list", "--tokens", path)
    head, line = listed.stdout.splitlines()
    assert head.split() == ["ID", "NAME", "ROLE", "CREATED", "EXPIRES"]
    assert line.split()[:3] == [id_, "ann", "reader"]
    revoked = token_command("revoke", "ann", "--tokens", path)
    assert (revoked.exit_code, revoked.stderr) == (0, f"revoked the token {id_} of ann\n")
    for said in (made.stderr, listed.output, revoked.output, path.read_text()):
        assert secret not in said
    again = token_command("revoke", id_, "--tokens", path)
    assert (again.exit_code, again.stderr) == (1, f"Error: {path} has no token with the name or id '{id_}'\n")


def test_no_secret_is_in_the_log(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    token = make_token(path, "ann", "reader")
    with (
        quick_server(tmp_path / "events.duckdb", "--tokens", str(path)) as server,
        grpc.insecure_channel(server.address) as channel,
    ):
        stub = ExportServiceStub(channel)
        assert outcome(lambda: stub.ListColumns(ListColumnsRequest(), metadata=bearer(token))) == "OK"
        wrong = bearer(f"{token[:-3]}xyz")
        assert outcome(lambda: stub.ListColumns(ListColumnsRequest(), metadata=wrong)) != "OK"
        server.stop()
    log = (tmp_path / "events.log").read_text()
    assert log.count('"call_ended"') == 2
    assert '"principal": "ann"' in log
    assert "anonymous" not in log
    assert token.split("_", 2)[2][:20] not in log


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["create", "--name", "a", "--role", "r"], 2, "Missing option '--tokens'"),
        (["create", "--tokens", "t", "--name", "", "--role", "r"], 2, "name: allowed: 1 to 200 printable"),
        (["create", "--tokens", "t", "--name", "a", "--role", "r", "--expires", "1y"], 2, "such as 7d"),
        (["create", "--tokens", "no/t", "--name", "a", "--role", "r"], 1, "no/t.lock: cannot be opened"),
        (["list", "--tokens", "t"], 1, "t: cannot be read: No such file"),
        (["revoke", "--tokens", "t", "ann"], 1, "t: cannot be read: No such file"),
    ],
)
def test_what_a_command_cannot_do_is_said(
    tmp_path: Path, arguments: Sequence[str], code: int, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    refused = token_command(*arguments)
    assert refused.exit_code == code
    assert said in refused.stderr
    assert refused.stdout == ""


@pytest.mark.parametrize("flag", ["--max-exports=3", "--no-reflection", "--otel", "--config={file}"])
def test_flags_of_the_server_are_not_for_its_commands(tmp_path: Path, flag: str) -> None:
    file = tmp_path / "server.toml"
    file.touch()
    refused = CliRunner().invoke(main, [flag.format(file=file), "policy", "explain", "--role", "reader"])
    assert refused.exit_code == 2
    name = flag.partition("=")[0]
    assert f"Error: {name} is for serving; it goes with no command" in refused.stderr
    environment = {"ARGUS_CONFIG": str(file)}
    taken = CliRunner().invoke(main, ["policy", "explain", "--role", "reader"], env=environment)
    assert taken.exit_code == 0


def test_commands_load_nothing_of_the_store() -> None:
    heavy = ("duckdb", "ibis", "pyarrow", "grpc", "cryptography")
    code = f"import sys, argus_grpc.main; print([name for name in {heavy} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"


def test_a_policy_that_binds_nobody_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text('[roles.reader]\nrpcs = ["PlanExport"]')
    assert mistakes_of(policy=path) == (
        f"{path}: binds nobody, since all callers are anonymous: give it a role [roles.anonymous], or let"
        " callers be known by --tokens, --jwt-jwks or --tls-client-ca"
    )
    path.write_text('[roles.anonymous]\nrpcs = ["PlanExport"]')
    Entrance(Config(policy=path)).close()
