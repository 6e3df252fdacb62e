"""Where settings come from, flags over environment over file, and every mistake in them at once."""

import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from argus_grpc.config import SECRETS, Config, is_url, to_flag

_PREFIX = "ARGUS_"
_CONFIG = "ARGUS_CONFIG"
_WITHOUT_FLAG = frozenset({"token_key"})

# Settings of the client and of the dashboard that are spelt much like one of the server's.
_OTHERS_VARIABLES = frozenset(
    {"ARGUS_SERVER", "ARGUS_TLS", "ARGUS_TLS_CA", "ARGUS_TOKEN", "ARGUS_TOKEN_FILE"}
)

_READ_FILES = ("tls_cert", "tls_key", "tls_client_ca", "tokens", "policy", "jwt_jwks")
_HINTS = {"tokens": "; `argus-server token create --tokens {path} …` makes it"}


class BadSettings(Exception):
    """Settings that do not fit, each named as it was given."""

    def __init__(self, mistakes: list[str]) -> None:
        self.mistakes = tuple(mistakes)
        one = len(mistakes) == 1
        super().__init__(
            mistakes[0] if one else "\n  ".join([f"{len(mistakes)} settings do not fit:", *mistakes])
        )


@dataclass(frozen=True)
class _Given:
    """A value, and the name it was given by."""

    value: object
    name: str


def load_config(
    flags: Mapping[str, Any], config_file: Path | None, environment: Mapping[str, str] = os.environ
) -> Config:
    """The configuration from flags that were given, the environment, which has a setting's name in capitals
    after ARGUS_, and a TOML file.

    Raises BadSettings, which names every mistake at once.
    """
    mistakes: list[str] = []
    given = _from_file(config_file, mistakes) if config_file else {}
    for setting in Config.model_fields:
        if (name := _PREFIX + setting.upper()) in environment:
            given[setting] = _Given(environment[name], name)
    given |= {setting: _Given(value, to_flag(setting)) for setting, value in flags.items()}

    values = {setting: one.value for setting, one in given.items()}
    bad: set[str] = set()
    try:
        Config.model_validate(values, context={})
    except ValidationError as error:
        for mistake in error.errors():
            setting = str(mistake["loc"][0])
            bad.add(setting)
            value = "" if setting in SECRETS else f", not {mistake['input']!r}"
            text = mistake["msg"].removeprefix("Value error, ")
            mistakes.append(f"{given[setting].name}: {text}{value}")
    # What fits by itself is looked at even when something else does not.
    config = Config.model_validate(
        {setting: value for setting, value in values.items() if setting not in bad}, context={}
    )
    for conflict in config.conflicts():
        if bad.isdisjoint((conflict.setting, *conflict.others)):
            mistakes.append(f"{_shown(conflict.setting, given)}: {conflict.description}")
    mistakes += _missing_files(config, given)
    if mistakes:
        raise BadSettings(mistakes)
    return config


def misspelt_variables(environment: Mapping[str, str] = os.environ) -> Iterator[str]:
    """What to say of variables that are hardly meant for another program."""
    settings = {_PREFIX + setting.upper() for setting in Config.model_fields} | {_CONFIG}
    for name in sorted(environment):
        if name.startswith(_PREFIX) and name not in settings | _OTHERS_VARIABLES:
            close = get_close_matches(name, settings, n=1, cutoff=0.88)
            if close:
                yield f"{name} is no setting of argus-server, and does nothing; did you mean {close[0]}?"


def _from_file(path: Path, mistakes: list[str]) -> dict[str, _Given]:
    try:
        with path.open("rb") as file:
            table = tomllib.load(file)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        mistakes.append(f"{path}: it is not TOML: {error}")
        return {}
    except OSError as error:
        mistakes.append(f"{path}: it cannot be read: {error.strerror}")
        return {}
    found = {}
    for key, value in table.items():
        if key in Config.model_fields:
            found[key] = _Given(value, f"{key} in {path}")
            continue
        # As it would be typed as a flag, too.
        close = get_close_matches(key.replace("-", "_"), Config.model_fields, n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        mistakes.append(f"{key} in {path}: there is no such setting{hint}")
    return found


def _missing_files(config: Config, given: Mapping[str, _Given]) -> Iterator[str]:
    for setting in _READ_FILES:
        path = getattr(config, setting)
        if path is None or is_url(str(path)):
            continue
        try:
            with Path(path).open("rb"):
                pass
        except OSError as error:
            hint = _HINTS.get(setting, "").format(path=path) if isinstance(error, FileNotFoundError) else ""
            yield f"{_shown(setting, given)}: {path} cannot be read: {error.strerror}{hint}"
    if config.audit_log and not config.audit_log.parent.is_dir():
        yield f"{_shown('audit_log', given)}: there is no folder {config.audit_log.parent}"


def _shown(setting: str, given: Mapping[str, _Given]) -> str:
    if setting in given:
        return given[setting].name
    return setting if setting in _WITHOUT_FLAG else to_flag(setting)
