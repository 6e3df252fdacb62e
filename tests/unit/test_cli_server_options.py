"""The options that say which server, how safely, and who calls: on each command, and what is said when
they do not do."""

from collections.abc import Sequence
from pathlib import Path

import grpc
import pytest
from click.testing import CliRunner, Result
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, QuotaFailure, RetryInfo

from argus_client.cli import commands
from argus_grpc.v1.export_pb2 import ListColumnsResponse, PlanExportResponse
from argus_grpc.v1.ingest_pb2 import IngestEventsResponse
from tests.any_method import AnyMethod, any_method_server
from tests.certificates import Authority
from tests.scripted import EndWith, batch, header, scripted_server, status, summary

FLAGS = (
    "--server",
    "--token-file",
    "--tls",
    "--tls-ca",
    "--tls-cert",
    "--tls-key",
    "--tls-server-name",
    "--insecure",
)
EVENT = '{"timestamp":"2024-01-01T00:00:00Z","eventType":"GC_PAUSE","source":"s"}\n'
COMMANDS: dict[str, Sequence[str]] = {
    "columns": (),
    "plan": (),
    "export": (),
    "aggregate": (),
    "ingest": ("events.jsonl",),
}
METHODS = ("ListColumns", "PlanExport", "StreamEvents", "StreamAggregates", "IngestEvents")
UNKNOWN = status(
    grpc.StatusCode.UNAUTHENTICATED, "the token is not known", ErrorInfo(reason="NOT_AUTHENTICATED")
)


def run(*args: object, env: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(commands, [str(arg) for arg in args], env=env)


@pytest.fixture(autouse=True)
def _in_a_folder_with_events(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("events.jsonl").write_text(EVENT)
    Path("token").write_text("secret\n")


def call(command: str, server: AnyMethod, *args: object, env: dict[str, str] | None = None) -> Result:
    return run(command, *COMMANDS[command], "--server", server.address, *args, env=env)


def limited(limit: str, retry_after_s: float | None) -> EndWith:
    delay = Duration()
    delay.FromNanoseconds(round((retry_after_s or 0) * 1e9))
    details = [QuotaFailure(violations=[QuotaFailure.Violation(subject=limit)]), RetryInfo(retry_delay=delay)]
    text = "there is no more of it for now"
    return status(grpc.StatusCode.RESOURCE_EXHAUSTED, text, *details[: 1 if retry_after_s is None else 2])


@pytest.mark.parametrize("command", [*COMMANDS, "collect"])
def test_every_command_that_talks_to_a_server_has_them(command: str) -> None:
    shown = run(command, "--help").stdout.split()
    assert [flag for flag in FLAGS if flag in shown] == list(FLAGS)
    assert "ARGUS_TOKEN" in shown


@pytest.mark.parametrize("command", COMMANDS)
def test_a_token_is_taken_from_a_file_or_the_environment(command: str) -> None:
    with any_method_server() as server:
        for args, env, expected in (
            (("--token-file", "token"), {}, "Bearer secret"),
            ((), {"ARGUS_TOKEN_FILE": "token"}, "Bearer secret"),
            ((), {"ARGUS_TOKEN": "other\n"}, "Bearer other"),
            (("--token-file", "token"), {"ARGUS_TOKEN": "other"}, "Bearer secret"),
            ((), {"ARGUS_TOKEN": ""}, "None"),
        ):
            result = call(command, server, *args, env=env)
            assert result.exit_code == 1
            assert f"Error: the server at {server.address} failed: {expected}\n" in result.stderr


def test_two_tokens_in_the_environment_are_refused() -> None:
    result = run("columns", env={"ARGUS_TOKEN": "a", "ARGUS_TOKEN_FILE": "token"})
    assert result.exit_code == 2
    assert "ARGUS_TOKEN and ARGUS_TOKEN_FILE are both set; set one of them" in result.stderr


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (
            ("--token-file", "missing"),
            "Error: --token-file: missing cannot be read: No such file or directory\n",
        ),
        (
            ("--token-file", "events.jsonl"),
            "Error: --token-file: what is in events.jsonl cannot be one, because ",
        ),
        (("--tls-ca", "missing"), "Error: --tls-ca: missing cannot be read: No such file or directory\n"),
        (("--tls-ca", "token"), "Error: --tls-ca: token has no certificate in PEM in it\n"),
        (
            ("--tls-cert", "token", "--tls-key", "token"),
            "Error: --tls-cert: token and token are no certificate ",
        ),
        (("--tls-cert", "token"), "--tls-cert and --tls-key must be given together"),
        (("--insecure", "--tls"), "--insecure cannot be given together with --tls, or what begins so"),
        (("--insecure", "--tls-server-name", "a"), "--insecure cannot be given together with --tls"),
    ],
)
@pytest.mark.parametrize("command", COMMANDS)
def test_wrong_use_is_told_before_anything_is_sent(command: str, args: tuple[str, ...], told: str) -> None:
    with any_method_server() as server:
        result = call(command, server, *args)
    assert (result.exit_code, server.methods) == (2, [])
    assert told in result.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_who_is_not_known_learns_how_to_say_who_they_are(command: str) -> None:
    with any_method_server({method: [UNKNOWN] for method in METHODS}) as server:
        without = call(command, server)
        with_file = call(command, server, "--token-file", "token")
        with_variable = call(command, server, env={"ARGUS_TOKEN": "secret"})
    assert [without.exit_code, with_file.exit_code, with_variable.exit_code] == [4, 4, 4]
    for result in (without, with_file, with_variable):
        assert "Error: the token is not known\n" in result.stderr
        assert "secret" not in result.output
    assert "No token was sent. Pass --token-file FILE or set ARGUS_TOKEN, or pass a cert" in without.stderr
    assert "The token from token was sent." in with_file.stderr
    assert "The token from ARGUS_TOKEN was sent." in with_variable.stderr


def test_what_is_not_permitted_names_the_options() -> None:
    violations = [
        BadRequest.FieldViolation(field="query.sources[0]", description="your role has not 'orders'"),
        BadRequest.FieldViolation(field="columns[1]", description="your role has not thread_name"),
    ]
    told = status(grpc.StatusCode.PERMISSION_DENIED, "no", BadRequest(field_violations=violations))
    with any_method_server({"StreamEvents": [told]}) as server:
        result = call("export", server)
    assert result.exit_code == 4
    assert result.stderr.splitlines()[:2] == [
        "Error: --source: your role has not 'orders'",
        "--columns: your role has not thread_name",
    ]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_limit_that_passes_is_waited_for_and_said(command: str) -> None:
    ends = EndWith(grpc.StatusCode.INTERNAL, "reached")
    answers = {method: [limited("requests_per_minute", 0.01), ends] for method in METHODS}
    with any_method_server(answers) as server:
        result = call(command, server)
    assert len(server.methods) == 2
    waits = [line for line in result.stderr.splitlines() if "trying again" in line]
    assert len(waits) == 1
    assert waits[0].startswith("requests_per_minute: there is no more of it for now; trying again in 0.")
    assert f"Error: the server at {server.address} failed: reached\n" in result.stderr


@pytest.mark.parametrize(
    ("retry_after_s", "args", "told"),
    [
        (None, (), "there is no more of it for now\n"),
        (2, ("--retry-for", "0"), "there is no more of it for now\n"),
        (3_600, (), "there is no more of it for now; it passes in 1h, later than this is tried for\n"),
    ],
)
@pytest.mark.parametrize("command", COMMANDS)
def test_one_that_does_not_is_told_at_once(
    command: str, retry_after_s: float | None, args: tuple[str, ...], told: str
) -> None:
    with any_method_server(
        {method: [limited("rows_per_hour", retry_after_s)] for method in METHODS}
    ) as server:
        result = call(command, server, *args)
    assert (result.exit_code, len(server.methods)) == (1, 1)
    assert f"Error: rows_per_hour: {told}" in result.stderr


def test_after_a_wait_there_is_an_answer() -> None:
    answers: dict[str, list[Message | EndWith]] = {
        "ListColumns": [limited("requests_per_minute", 0.01), ListColumnsResponse()],
        "PlanExport": [limited("requests_per_minute", 0.01), PlanExportResponse()],
        "IngestEvents": [
            limited("requests_per_minute", 0.01),
            IngestEventsResponse(first_sequence=1, last_sequence=1),
        ],
    }
    with any_method_server(answers) as server:
        for command in ("columns", "plan", "ingest"):
            assert call(command, server).exit_code == 0


def test_plaintext_beyond_this_machine_is_warned_of_loudly() -> None:
    with any_method_server() as server:
        # It leads here, but is no loopback address.
        elsewhere = server.address.replace("127.0.0.1", "0.0.0.0")
        insecure = run("columns", "--server", elsewhere, "--insecure", "--token-file", "token")
        here = run("columns", "--server", server.address, "--insecure")
        safe = run("columns", "--server", elsewhere, "--token-file", "token")
    assert insecure.stderr.splitlines() == [
        "WARNING: --insecure: all that is sent and received, and your token, can be read and changed by "
        f"anyone on the way to {elsewhere}",
        f"Error: the server at {elsewhere} failed: Bearer secret",
    ]
    assert "WARNING" not in here.stderr
    assert safe.exit_code == 1
    assert f"Error: the server at {elsewhere} does not speak TLS\n" in safe.stderr
    assert "elsewhere pass --insecure, which lets anyone on the way read all" in safe.stderr
    assert server.methods == ["ListColumns"] * 2


def test_tls_and_what_to_pass_for_it(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    me = authority.client("me")
    with scripted_server(
        header(1), batch(0, 1), summary(1), credentials=authority.server("localhost", asks_clients=True)
    ) as server:
        at = ("export", "--server", server.address)
        plaintext = run(*at)
        untrusted = run(*at, "--tls")
        unknown = run(*at, "--tls-ca", authority.file)
        whole = run(*at, "--tls-ca", authority.file, "--tls-cert", me.cert, "--tls-key", me.key)
    for result, advice in (
        (plaintext, "Pass --tls, and --tls-ca FILE if the system does not trust who issued its certificate."),
        (untrusted, "Pass --tls-ca FILE with the certificate of the authority that issued it."),
        (unknown, "Pass --tls-cert FILE and --tls-key FILE that the server accepts."),
    ):
        assert result.exit_code == 1
        error, told = result.stderr.splitlines()[-2:]
        assert error.startswith("Error: ")
        assert told == advice
    assert whole.exit_code == 0, whole.stderr
    assert server.certificate_names == [(b"me",)]


def test_the_name_on_the_certificate_may_be_said(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    credentials = authority.server("argus.example")
    with scripted_server(header(1), batch(0, 1), summary(1), credentials=credentials) as server:
        at = ("export", "--server", server.address, "--tls-ca", authority.file)
        other = run(*at)
        whole = run(*at, "--tls-server-name", "argus.example")
    assert "is for argus.example, not for localhost\nName it so in --server, or say with " in other.stderr
    assert (other.exit_code, whole.exit_code) == (1, 0)


def test_what_came_before_a_token_was_refused_can_be_gone_on_with() -> None:
    cut = EndWith(grpc.StatusCode.UNAVAILABLE, "gone")
    whole = (header(2), batch(0, 2), summary(2))
    with scripted_server(header(2), batch(0, 1), cut, then=((UNKNOWN,), whole)) as server:
        at = ("export", "--server", server.address, "--token-file", "token", "-o", "a.csv")
        refused = run(*at)
        Path("token").write_text("new\n")
        resumed = run(*at, "--resume")
    assert refused.exit_code == 4
    assert "the same command with --resume goes on from there" in refused.stderr
    assert "The token from token was sent." in refused.stderr
    assert resumed.exit_code == 0, resumed.stderr
    assert server.authorizations == ["Bearer secret", "Bearer secret", "Bearer new"]
