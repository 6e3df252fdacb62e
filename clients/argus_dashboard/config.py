"""The dashboard's configuration: flags over environment over defaults, checked at start."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from argus_client import DEFAULT_TARGET, InvalidRequest, Tls
from argus_client.transport import check_files, is_loopback, is_loopback_host
from argus_dashboard.certificates import load_certificate


def split_address(address: str) -> tuple[str, int]:
    """The host and port of HOST:PORT; an IPv6 host stands in brackets.

    Raises ValueError with a message for people.
    """
    host, colon, port = address.rpartition(":")
    if not colon or not host or not (port.isascii() and port.isdecimal()) or int(port) > 65_535:
        raise ValueError(f"{address!r} is not an address; write HOST:PORT, such as 127.0.0.1:8080")
    return host.removeprefix("[").removesuffix("]"), int(port)


def _checked_address(address: str) -> str:
    split_address(address)
    return address


def _separated(value: object) -> object:
    return (
        tuple(name.strip() for name in value.split(",") if name.strip()) if isinstance(value, str) else value
    )


class Config(BaseSettings):
    """Every setting of argus-dashboard. The environment gives ARGUS_DASHBOARD_ and the name in capitals,
    but ARGUS_SERVER, which is the command line's too."""

    model_config = SettingsConfigDict(env_prefix="ARGUS_DASHBOARD_", extra="forbid", populate_by_name=True)

    server: str = Field(default=DEFAULT_TARGET, validation_alias="ARGUS_SERVER")
    listen: Annotated[str, AfterValidator(_checked_address)] = "127.0.0.1:8080"
    tls_cert: Path | None = None
    tls_key: Path | None = None
    insecure: bool = False
    server_tls: bool = False
    server_tls_ca: Path | None = None
    server_tls_cert: Path | None = None
    server_tls_key: Path | None = None
    server_insecure: bool = False
    allow_hosts: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_separated)] = ()
    max_downloads: int = Field(default=16, ge=1, le=1_000)
    max_follows: int = Field(default=32, ge=1, le=1_000)
    retry_for_s: float = Field(default=10.0, ge=0)
    request_timeout_s: float = Field(default=10.0, gt=0)
    stall_timeout_s: float = Field(default=300.0, gt=0)
    shutdown_grace_s: float = Field(default=10.0, ge=0)

    @model_validator(mode="after")
    def _whole(self) -> Self:
        # Files are looked at once all else is right.
        mistakes = [*self._closed_by_default(), *self._pairs(), *self._to_server()] or [*self._files()]
        if mistakes:
            raise ValueError("\n".join(mistakes))
        return self

    def _closed_by_default(self) -> Iterator[str]:
        if self.guards_strangers and self.tls_cert is None and self.tls_key is None:
            yield (
                f"listen: {self.listen} can be reached from other machines, which needs --tls-cert FILE and"
                " --tls-key FILE; or --insecure: everyone on the way can then read the events and the tokens"
            )

    def _pairs(self) -> Iterator[str]:
        for prefix in ("tls", "server_tls"):
            cert, key = f"{prefix}_cert", f"{prefix}_key"
            given = [name for name in (cert, key) if getattr(self, name) is not None]
            if len(given) == 1:
                missing = key if given == [cert] else cert
                flag = f"--{given[0].replace('_', '-')}"
                yield f"{missing}: it is missing, and {flag} needs it; allowed: both or neither"

    def _files(self) -> Iterator[str]:
        if self.tls_cert is not None and self.tls_key is not None:
            try:
                load_certificate(self.tls_cert, self.tls_key)
            except ValueError as error:
                yield f"tls_cert: {error}"
        if self.tls_to_server is not None:
            try:
                check_files(self.tls_to_server)
            except InvalidRequest as error:
                yield from (f"server_{v.field.replace('.', '_')}: {v.description}" for v in error.violations)

    def _to_server(self) -> Iterator[str]:
        tls = self.server_tls, self.server_tls_ca, self.server_tls_cert, self.server_tls_key
        if self.server_insecure and any(tls):
            yield "server_insecure: plaintext does not go with --server-tls and the files for it"

    @property
    def tls_to_server(self) -> Tls | None:
        """How the server is made sure of; None: TLS beyond this machine alone, as ExportClient has it."""
        files = self.server_tls_ca, self.server_tls_cert, self.server_tls_key
        return Tls(*files) if self.server_tls or any(files) else None

    @property
    def warnings(self) -> Iterator[str]:
        """What is to be said loudly."""
        if not self.is_local and self.insecure:
            yield (
                f"--insecure: {self.listen} can be reached from other machines: whoever reaches it sees all"
                " that the server shows without a token"
            )
        if not self.is_local and self.tls_cert is None:
            yield (
                "--insecure: without TLS, whoever is on the way can read the events, and the tokens that"
                " people sign in with"
            )
        if self.server_insecure and not is_loopback(self.server):
            yield (
                f"--server-insecure: {self.server} is spoken to without TLS: whoever is on the way can read"
                " the events and the tokens"
            )

    @property
    def guards_strangers(self) -> bool:
        """Whether others can reach the dashboard, and nobody has said that they may see all that it does."""
        return not self.is_local and not self.insecure

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach the dashboard."""
        return is_loopback_host(split_address(self.listen)[0])
