"""The server's configuration, and what does not go together in one. Where it comes from: settings.py."""

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit

import platformdirs
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ByteSize,
    ConfigDict,
    Field,
    ValidationInfo,
    model_validator,
)

from argus_grpc.durations import parse_duration

MIB = 1024 * 1024
SECRETS = frozenset({"token_key"})
"""Settings whose values are never shown."""


def split_address(address: str) -> tuple[str, int]:
    """The host and port of HOST:PORT; an IPv6 host stands in brackets.

    Raises ValueError with a message for people.
    """
    host, colon, port = address.rpartition(":")
    if not colon or not host or not port.isdecimal() or int(port) > 65_535:
        raise ValueError(f"{address!r} is not an address; write HOST:PORT, such as 127.0.0.1:50051")
    return host.removeprefix("[").removesuffix("]"), int(port)


def is_loopback(address: str) -> bool:
    """Whether only this machine can reach a server that listens there."""
    host, _ = split_address(address)
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _checked_address(address: str) -> str:
    split_address(address)
    return address


def is_url(jwks: str) -> bool:
    """Whether keys are at an address; else they are in a file."""
    return "://" in jwks


def _checked_jwks(jwks: str) -> str:
    if is_url(jwks):
        url = urlsplit(jwks)
        if url.scheme != "https" and (url.scheme != "http" or not is_loopback(f"{url.hostname}:0")):
            raise ValueError("allowed: a file, an https address, or an http address of this machine")
    return jwks


def default_database() -> Path:
    """events.duckdb in the user's data folder."""
    return platformdirs.user_data_path("argus") / "events.duckdb"


@dataclass(frozen=True)
class Conflict:
    """What is wrong with a setting beside the others that it is about."""

    setting: str
    description: str
    others: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.setting}: {self.description}"


class Config(BaseModel):
    """Every setting of argus-server."""

    model_config = ConfigDict(extra="forbid")

    db: Path = Field(default_factory=default_database)
    no_persistence: bool = False
    buffer_events: int = Field(default=65_536, ge=1, le=10_000_000)
    retention: Annotated[timedelta, BeforeValidator(parse_duration)] | None = None
    max_database_bytes: ByteSize | None = Field(default=None, ge=256 * MIB)
    listen: Annotated[str, AfterValidator(_checked_address)] = "127.0.0.1:50051"
    tls_cert: Path | None = None
    tls_key: Path | None = None
    tls_client_ca: Path | None = None
    tokens: Path | None = None
    jwt_jwks: Annotated[str, AfterValidator(_checked_jwks)] | None = None
    jwt_issuer: str | None = None
    jwt_audience: str | None = None
    jwt_name_claim: str = "sub"
    jwt_role_claim: str = "role"
    insecure: bool = False
    policy: Path | None = None
    max_exports: int = Field(default=128, ge=1, le=10_000)
    queue_timeout_s: float = Field(default=30.0, ge=0, le=3600)
    max_queued: int = Field(default=64, ge=0, le=10_000)
    export_memory: ByteSize = Field(default=ByteSize(64 * MIB), ge=MIB)
    max_ingests: int = Field(default=1024, ge=1, le=10_000)
    ingest_memory: ByteSize = Field(default=ByteSize(64 * MIB), ge=MIB)
    commit_interval_s: float = Field(default=0.05, ge=0, le=10)
    commit_size: ByteSize = Field(default=ByteSize(8 * MIB), ge=1)
    batch_id_lifetime_s: int = Field(default=7 * 24 * 3600, ge=60)
    disk_reserve: ByteSize = Field(default=ByteSize(128 * MIB), ge=0)
    stall_timeout_s: float = Field(default=300.0, gt=0)
    memory_limit: ByteSize = Field(default=ByteSize(96 * MIB), ge=64 * MIB)
    token_key: str | None = Field(default=None, min_length=32)
    token_lifetime_s: int = Field(default=24 * 3600, ge=60)
    shutdown_grace_s: float = Field(default=10.0, ge=0)
    audit_log: Path | None = None
    metrics_listen: Annotated[str, AfterValidator(_checked_address)] | None = None
    reflection: bool = True
    otel: bool = False

    @model_validator(mode="after")
    def _goes_together(self, info: ValidationInfo) -> Self:
        # Whoever gives a context asks for conflicts() itself.
        if info.context is None and (conflicts := [str(conflict) for conflict in self.conflicts()]):
            raise ValueError("\n".join(conflicts))
        return self

    def conflicts(self) -> Iterator[Conflict]:
        """What does not go together."""
        yield from self._incomplete_access()
        if (missing := self.missing_for_others()) and not self.insecure:
            yield Conflict(
                "listen",
                f"{self.listen} can be reached from other machines, which needs {' and '.join(missing)};"
                f" or --insecure, but then {' and '.join(self.dangers())}",
                ("insecure", "tls_cert", "tokens", "jwt_jwks", "tls_client_ca"),
            )
        yield from self._ways_to_keep()

    @property
    def knows_callers(self) -> bool:
        """Whether calls need credentials."""
        return bool(self.tokens or self.jwt_jwks or self.tls_client_ca)

    def missing_for_others(self) -> list[str]:
        """What it takes to listen beyond this machine, and is not given."""
        if is_loopback(self.listen):
            return []
        return [
            *([] if self.tls_cert else ["TLS (--tls-cert and --tls-key)"]),
            *([] if self.knows_callers else ["to know who calls (--tokens, --jwt-jwks or --tls-client-ca)"]),
        ]

    def dangers(self) -> list[str]:
        """What comes of listening beyond this machine without that, in clauses."""
        if is_loopback(self.listen):
            return []
        clauses = []
        if not self.knows_callers:
            clauses.append("everyone who reaches it can read and write all events")
        if not self.tls_cert:
            clauses.append("whoever is on the way can read and change what is sent, credentials too")
        return clauses

    def _incomplete_access(self) -> Iterator[Conflict]:
        if self.tls_cert and not self.tls_key:
            yield _needed("tls_key", "tls_cert")
        if not self.tls_cert and (self.tls_key or self.tls_client_ca):
            yield _needed("tls_cert", "tls_key" if self.tls_key else "tls_client_ca")
        if self.jwt_jwks:
            yield from (
                _needed(name, "jwt_jwks")
                for name in ("jwt_issuer", "jwt_audience")
                if not getattr(self, name)
            )
        else:
            yield from (
                _needed("jwt_jwks", name)
                for name in sorted(self.model_fields_set)
                if name.startswith("jwt_") and name != "jwt_jwks"
            )

    def _ways_to_keep(self) -> Iterator[Conflict]:
        if self.no_persistence:
            for name in sorted(self.model_fields_set & {"db", "retention", "max_database_bytes"}):
                yield Conflict(
                    name,
                    "is about a database file, and there is none with --no-persistence; --buffer-events says"
                    " how many events are kept",
                )
        elif "buffer_events" in self.model_fields_set:
            yield Conflict(
                "buffer_events",
                "is about events in memory, which needs --no-persistence; what a database file keeps is said"
                " by --retention and --max-database-bytes",
                ("no_persistence",),
            )


def _needed(name: str, other: str) -> Conflict:
    return Conflict(name, f"is needed with {to_flag(other)}", (other,))


def to_flag(setting: str) -> str:
    """The flag of a setting."""
    return f"--{setting.replace('_', '-')}"
