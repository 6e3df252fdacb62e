"""Every mistake in the settings is named at once, as it was given."""

from pathlib import Path

import click
import pytest

from argus_client.cli import commands
from argus_grpc.config import Config
from argus_grpc.settings import BadSettings, load_config, misspelt_variables


def test_every_mistake_is_named_at_once_and_as_it_was_given(tmp_path: Path) -> None:
    file = tmp_path / "argus.toml"
    file.write_text('max_ingests = "many"\nmax_export = 4\nsurprise = "hunter2"\nretention = "7d"\n')
    flags = {"no_persistence": True, "max_exports": 0, "tls_cert": tmp_path / "cert.pem", "db": "x.duckdb"}
    environment = {
        "ARGUS_TOKEN_KEY": "sesame",
        "ARGUS_LISTEN": "nonsense",
        "ARGUS_JWT_ISSUER": "https://issuer",
        "ARGUS_METRICS_LISTEN": "9464",
    }
    with pytest.raises(BadSettings) as refused:
        load_config(flags, file, environment)
    assert [mistake.partition(":")[0] for mistake in refused.value.mistakes] == [
        f"max_export in {file}",
        f"surprise in {file}",
        "ARGUS_LISTEN",
        "--max-exports",
        f"max_ingests in {file}",
        "ARGUS_TOKEN_KEY",
        "ARGUS_METRICS_LISTEN",
        "--tls-key",
        "--jwt-jwks",
        "--db",
        f"retention in {file}",
        "--tls-cert",
    ]
    text = str(refused.value)
    assert text.startswith("12 settings do not fit:\n  ")
    assert "did you mean max_exports?" in text
    assert "No such file or directory" in text
    assert "sesame" not in text
    assert "hunter2" not in text


def test_what_hangs_on_a_setting_that_does_not_fit_is_not_judged() -> None:
    with pytest.raises(BadSettings) as refused:
        load_config({"listen": "0.0.0.0:1", "insecure": "perhaps"}, None, {})
    (mistake,) = refused.value.mistakes
    assert mistake.startswith("--insecure: ")


@pytest.mark.parametrize(
    ("text", "said"),
    [("max_exports = ", "it is not TOML: Invalid value"), ("\xff = 1", "it is not TOML: ")],
)
def test_a_file_that_is_not_toml_is_told_with_the_other_mistakes(
    tmp_path: Path, text: str, said: str
) -> None:
    file = tmp_path / "argus.toml"
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(BadSettings) as refused:
        load_config({"max_exports": 0}, file, {})
    first, second = refused.value.mistakes
    assert first.startswith(f"{file}: {said}")
    assert second == "--max-exports: Input should be greater than or equal to 1, not 0"


def test_a_flag_goes_before_the_environment_and_that_before_the_file(tmp_path: Path) -> None:
    file = tmp_path / "argus.toml"
    file.write_text("max_exports = 1\nmax_ingests = 1\nmax_queued = 1\nreflection = false\n")
    environment = {"ARGUS_MAX_EXPORTS": "2", "ARGUS_MAX_INGESTS": "2", "ARGUS_INSECURE": "true"}
    config = load_config({"max_exports": 3}, file, environment)
    assert (config.max_exports, config.max_ingests, config.max_queued) == (3, 2, 1)
    assert (config.insecure, config.reflection) == (True, False)


def test_no_log_without_its_folder(tmp_path: Path) -> None:
    with pytest.raises(BadSettings, match=r"--audit-log: there is no folder .*missing"):
        load_config({"audit_log": tmp_path / "missing" / "audit.jsonl"}, None, {})


def test_variables_that_are_hardly_for_others_are_pointed_out() -> None:
    names = ["ARGUS_MAX_EXPORT", "ARGUS_TOKEN", "ARGUS_COLUMNS", "ARGUS_DB", "ARGUS_CONFIG", "MAX_EXPORT"]
    assert list(misspelt_variables(dict.fromkeys(names, "1"))) == [
        "ARGUS_MAX_EXPORT is no setting of argus-server, and does nothing; did you mean ARGUS_MAX_EXPORTS?"
    ]


def test_no_flag_of_the_client_is_taken_for_a_misspelt_setting() -> None:
    context = click.Context(commands)
    names = {
        parameter.envvar: "1"
        for name in commands.list_commands(context)
        if (command := commands.get_command(context, name))
        for parameter in command.params
        if isinstance(parameter.envvar, str)
    }
    assert names
    assert list(misspelt_variables(names)) == []


def test_a_configuration_made_otherwise_is_checked_too() -> None:
    with pytest.raises(ValueError, match=r"listen: 0\.0\.0\.0:1 can be reached"):
        Config(listen="0.0.0.0:1")


def test_tokens_that_there_are_not_yet_are_named_with_the_command_that_makes_them(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    with pytest.raises(BadSettings) as refused:
        load_config({"tokens": path}, None, {})
    assert list(refused.value.mistakes) == [
        f"--tokens: {path} cannot be read: No such file or directory;"
        f" `argus-server token create --tokens {path} …` makes it"
    ]
