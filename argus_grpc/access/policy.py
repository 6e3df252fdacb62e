"""The policy file: roles by name, and which certificates have which."""

import hashlib
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, TypeAlias

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
)

from argus_grpc.access.role import MAX_SOURCE_PREFIXES, Role, RoleLimits
from argus_grpc.access.watching import BadFile, read_file
from argus_grpc.columns import COLUMNS_BY_NAME, EVENT_TYPE_NAMES, EVENT_TYPE_PREFIX
from argus_grpc.durations import parse_duration
from argus_grpc.v1 import export_pb2, ingest_pb2
from argus_grpc.v1.event_pb2 import EventType

EXPORT_RPCS = tuple(m.name for m in export_pb2.DESCRIPTOR.services_by_name["ExportService"].methods)
INGEST_RPCS = tuple(m.name for m in ingest_pb2.DESCRIPTOR.services_by_name["IngestService"].methods)
RPCS = (*EXPORT_RPCS, *INGEST_RPCS)
"""What a role's rpcs can name."""

ALWAYS_SHOWN = ("sequence", "timestamp")
"""Order and resume tokens are made of these: no role can be denied them."""

HIDEABLE_COLUMNS = tuple(name for name in COLUMNS_BY_NAME if name not in ALWAYS_SHOWN)

BUILT_IN_ROLES: Mapping[str, Role] = MappingProxyType(
    {
        "admin": Role("admin"),
        "reader": Role("reader", rpcs=frozenset(EXPORT_RPCS)),
        "writer": Role("writer", rpcs=frozenset(INGEST_RPCS)),
    }
)
"""The roles that there are without a policy file. A file may define them anew."""

_ALL = "all"
_SHORT_PREFIX = "VIRTUAL_THREAD_"
_VERSION_DIGITS = 12
_MAX_VALUES = 1_000
_MAX_SHOWN = 200
_ROLE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


class InvalidPolicy(BadFile):
    """A file is no policy. mistakes: all that is wrong with it, a line each, with its place."""

    def __init__(self, path: Path, mistakes: Iterable[str]) -> None:
        self.mistakes = tuple(mistakes)
        super().__init__("\n".join(f"{path}: {mistake}" for mistake in self.mistakes))


@dataclass(frozen=True)
class Policy:
    """Who may do what.

    roles: by name, the built-in ones included.
    certificates: names of roles by the subjects of client certificates (RFC 4514); one with * at its end
        stands for all that begin so.
    version: names the file's text; "built-in" without a file.
    """

    roles: Mapping[str, Role]
    certificates: Mapping[str, str]
    version: str

    def role(self, name: str) -> Role | None:
        return self.roles.get(name)

    def certificate_role(self, subject: str) -> str | None:
        """The name of the role of a certificate with this subject: as it is named in full, else by the
        longest beginning that is."""
        if subject in self.certificates and not subject.endswith("*"):
            return self.certificates[subject]
        fitting = [
            pattern
            for pattern in self.certificates
            if pattern.endswith("*") and subject.startswith(pattern[:-1])
        ]
        return self.certificates[max(fitting, key=len)] if fitting else None


BUILT_IN_POLICY = Policy(BUILT_IN_ROLES, MappingProxyType({}), "built-in")


def load_policy(path: Path | None) -> Policy:
    """The policy of a TOML file; None: the built-in one.

    Raises BadFile if it cannot be read; InvalidPolicy, which names every mistake at once.
    """
    return BUILT_IN_POLICY if path is None else parse_policy(path, read_file(path))


def parse_policy(path: Path, content: bytes) -> Policy:
    """The policy of a TOML file with this content.

    Raises InvalidPolicy, which names every mistake at once.
    """
    try:
        data = tomllib.loads(content.decode())
    except RecursionError:
        raise InvalidPolicy(path, ["is not TOML that can be read: it is nested too deeply"]) from None
    except ValueError as error:
        # Of integers with thousands of digits too, which no error of tomllib's own is for.
        raise InvalidPolicy(path, [f"is not TOML: {error}"]) from None
    if not data:
        # Built-in roles alone need no file: this one was cut short.
        raise InvalidPolicy(path, ["is empty: it has neither [roles] nor [certificates]"])
    roles = data.get("roles", {})
    known = {*BUILT_IN_ROLES, *(roles if isinstance(roles, dict) else ())}
    try:
        file = _PolicyFile.model_validate(data, context=known)
    except ValidationError as error:
        raise InvalidPolicy(path, _mistakes(error)) from None
    return Policy(
        roles=MappingProxyType(
            {**BUILT_IN_ROLES, **{name: role.to_role(name) for name, role in file.roles.items()}}
        ),
        certificates=MappingProxyType(file.certificates),
        version=hashlib.sha256(content).hexdigest()[:_VERSION_DIGITS],
    )


def _none_for_all(given: object) -> object:
    if isinstance(given, str) and given != _ALL:
        raise ValueError(f'"{_ALL}" or a list is allowed')
    return None if given == _ALL else given


def _rpc(name: str) -> str:
    if name not in RPCS:
        raise ValueError(f"allowed: {', '.join(RPCS)}")
    return name


def _source(name: str) -> str:
    if not name or "*" in name[:-1] or "\0" in name:
        raise ValueError("a source's name is allowed, or the beginning of names and a * at the end")
    return name


def _few_prefixes(sources: list[str]) -> list[str]:
    count = sum(source.endswith("*") for source in sources)
    if count > MAX_SOURCE_PREFIXES:
        raise ValueError(f"{count} end with *; at most {MAX_SOURCE_PREFIXES} may")
    return sources


def _event_type(name: str) -> "EventType.ValueType":
    upper = name.upper().removeprefix(EVENT_TYPE_PREFIX)
    for code, known in EVENT_TYPE_NAMES.items():
        if upper in (known, known.removeprefix(_SHORT_PREFIX)):
            return EventType.ValueType(code)
    short = (known.removeprefix(_SHORT_PREFIX) for known in EVENT_TYPE_NAMES.values())
    raise ValueError(f"allowed: {', '.join(short)}")


def _column(name: str) -> str:
    if name in ALWAYS_SHOWN:
        raise ValueError("order and resume tokens are made of it, so every role sees it")
    if name not in HIDEABLE_COLUMNS:
        raise ValueError(f"allowed: {', '.join(HIDEABLE_COLUMNS)}")
    return name


def _only_redacted(columns: list[str], info: ValidationInfo) -> list[str]:
    if both := sorted({*columns} & {*info.data.get("forbidden_columns", ())}):
        raise ValueError(f"{', '.join(both)}: in forbidden_columns already; one of the two is allowed")
    return columns


def _role_name(name: str) -> str:
    if not _ROLE_NAME.fullmatch(name):
        raise ValueError("1 to 64 letters, digits, _, . and - are allowed in a role's name")
    return name


def _known_role(name: str, info: ValidationInfo) -> str:
    known: set[str] = info.context or set()
    if name not in known:
        raise ValueError(f"no such role; allowed: {', '.join(sorted(known))}")
    return name


_SOME = Field(min_length=1, max_length=_MAX_VALUES)
_OR_ALL = BeforeValidator(_none_for_all)
_Rpcs: TypeAlias = list[Annotated[str, AfterValidator(_rpc)]]
_Sources: TypeAlias = Annotated[
    list[Annotated[str, AfterValidator(_source)]], _SOME, AfterValidator(_few_prefixes)
]
_EventTypes: TypeAlias = Annotated[list[Annotated[str, AfterValidator(_event_type)]], _SOME]
_Columns: TypeAlias = list[Annotated[str, AfterValidator(_column)]]
_Limit: TypeAlias = Annotated[int, Field(strict=True, ge=1, le=2**53)] | None


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Limits(_Table):
    requests_per_minute: _Limit = None
    concurrent_exports: _Limit = None
    rows_per_hour: _Limit = None


class _Role(_Table):
    # To be said of each: a role that was to read less would write too if this could be forgotten.
    rpcs: Annotated[_Rpcs | None, _OR_ALL]
    sources: Annotated[_Sources | None, _OR_ALL] = None
    event_types: Annotated[_EventTypes | None, _OR_ALL] = None
    forbidden_columns: _Columns = []
    redacted_columns: Annotated[_Columns, AfterValidator(_only_redacted)] = []
    max_age: Annotated[timedelta, BeforeValidator(parse_duration)] | None = None
    limits: _Limits = _Limits()

    def to_role(self, name: str) -> Role:
        return Role(
            name=name,
            rpcs=None if self.rpcs is None else frozenset(self.rpcs),
            sources=None if self.sources is None or "*" in self.sources else tuple(self.sources),
            event_types=None if self.event_types is None else frozenset(self.event_types),  # type: ignore[arg-type]
            forbidden_columns=frozenset(self.forbidden_columns),
            redacted_columns=frozenset(self.redacted_columns),
            max_age=self.max_age,
            limits=RoleLimits(**self.limits.model_dump()),
        )


class _PolicyFile(_Table):
    roles: dict[Annotated[str, AfterValidator(_role_name)], _Role] = {}
    certificates: dict[str, Annotated[str, AfterValidator(_known_role)]] = {}


# By how deep in the file their keys stand: roles, roles.NAME.rpcs, roles.NAME.limits.rows_per_hour.
_TABLES: Mapping[int, type[_Table]] = {1: _PolicyFile, 3: _Role, 4: _Limits}


def _mistakes(error: ValidationError) -> Iterator[str]:
    for mistake in error.errors():
        loc = [part for part in mistake["loc"] if part != "[key]"]
        place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc)[1:]
        yield f"{place}: {_told(mistake, len(loc))}"


def _told(mistake: Mapping[str, Any], depth: int) -> str:
    if mistake["type"] == "extra_forbidden":
        return f"no such key; allowed: {', '.join(_TABLES[depth].model_fields)}"
    if mistake["type"] == "missing":
        return f'must be said; allowed: "{_ALL}", or a list of {", ".join(RPCS)}'
    said = "a table is allowed" if mistake["type"] in ("model_type", "dict_type") else mistake["msg"]
    shown = repr(mistake["input"])
    if len(shown) > _MAX_SHOWN:
        shown = f"{shown[:_MAX_SHOWN]}… ({len(shown)} characters)"
    return f"{said.removeprefix('Value error, ')}, not {shown}"
