"""argus-dashboard's flags and environment."""

import pytest
from click.testing import CliRunner

from argus_dashboard import main as main_module
from argus_dashboard.config import Config
from argus_dashboard.main import main


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[Config]:
    """The configurations that would have been served."""
    configs: list[Config] = []
    monkeypatch.setattr(main_module, "_serve", configs.append)
    return configs


def test_defaults(served: list[Config]) -> None:
    assert CliRunner().invoke(main, []).exit_code == 0
    assert (served[0].server, served[0].listen) == ("localhost:50051", "127.0.0.1:8080")


def test_a_flag_goes_before_the_environment(served: list[Config], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARGUS_SERVER", "a:1")
    monkeypatch.setenv("ARGUS_DASHBOARD_LISTEN", "127.0.0.1:1")
    monkeypatch.setenv("ARGUS_DASHBOARD_ALLOW_HOSTS", "argus.example, other.example")
    monkeypatch.setenv("ARGUS_DASHBOARD_MAX_DOWNLOADS", "3")
    # argus-server's own.
    monkeypatch.setenv("ARGUS_LISTEN", "127.0.0.1:50051")
    assert CliRunner().invoke(main, ["--listen", "[::1]:2"]).exit_code == 0
    config = served[0]
    assert (config.server, config.listen, config.max_downloads) == ("a:1", "[::1]:2", 3)
    assert config.allow_hosts == ("argus.example", "other.example")
    assert (
        CliRunner().invoke(main, ["--server", "b:2", "--allow-host", "x", "--allow-host", "y"]).exit_code == 0
    )
    assert (served[1].server, served[1].allow_hosts) == ("b:2", ("x", "y"))


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--listen", "8080"], "--listen: '8080' is not an address; write HOST:PORT"),
        (["--listen", "127.0.0.1:99999"], "--listen: '127.0.0.1:99999' is not an address"),
        (["--listen", "0.0.0.0:8080"], "which needs --tls-cert FILE and --tls-key FILE"),
        (["--tls-cert", "a.pem"], "--tls-key: it is missing, and --tls-cert needs it"),
        (["--server-tls-key", "a.pem"], "--server-tls-cert: it is missing, and --server-tls-key needs it"),
        (["--tls-cert", "no.pem", "--tls-key", "no.pem"], "--tls-cert: no.pem cannot be read: No such file"),
        (["--server-tls-ca", "no.pem"], "--server-tls-ca: no.pem cannot be read: No such file"),
        (["--server-insecure", "--server-tls"], "--server-insecure: plaintext does not go with --server-tls"),
        (["--max-downloads", "0"], "--max-downloads: Input should be greater than or equal to 1, not 0"),
        (["--stall-timeout-s", "0"], "--stall-timeout-s: "),
    ],
)
def test_what_does_not_fit_is_named(served: list[Config], flags: list[str], told: str) -> None:
    done = CliRunner().invoke(main, flags)
    assert done.exit_code == 2
    assert told in done.output
    assert not served


def test_beyond_this_machine_only_when_told(served: list[Config]) -> None:
    assert CliRunner().invoke(main, ["--listen", "0.0.0.0:8080", "--insecure"]).exit_code == 0
    assert not served[0].is_local
    [open_to_all, no_tls] = served[0].warnings
    assert "whoever reaches it sees all" in open_to_all
    assert "without TLS" in no_tls


def test_plaintext_to_another_machine_is_said(served: list[Config]) -> None:
    assert CliRunner().invoke(main, ["--server", "argus.example:1", "--server-insecure"]).exit_code == 0
    [warning] = served[0].warnings
    assert "argus.example:1 is spoken to without TLS" in warning
    assert CliRunner().invoke(main, ["--server-insecure"]).exit_code == 0
    assert not list(served[1].warnings)


def test_every_mistake_is_named_at_once(served: list[Config]) -> None:
    done = CliRunner().invoke(main, ["--listen", "0.0.0.0:1", "--server-tls-cert", "a.pem"])
    assert "--listen: " in done.output
    assert "--server-tls-key: " in done.output
    assert not served


def test_every_mistake_is_named_at_once_and_as_it_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARGUS_DASHBOARD_MAX_FOLLOWS", "many")
    done = CliRunner().invoke(main, ["--max-downloads", "0", "--listen", "0.0.0.0:1", "--tls-cert", "a.pem"])
    assert done.exit_code == 2
    assert "3 settings do not fit:" in done.output
    for name in ("--max-downloads: ", "ARGUS_DASHBOARD_MAX_FOLLOWS: ", "--tls-key: it is missing"):
        assert name in done.output
