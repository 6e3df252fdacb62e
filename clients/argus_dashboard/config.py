"""The dashboard's configuration: flags over environment over defaults, checked at start."""

import ipaddress
from typing import Annotated, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from argus_client import DEFAULT_TARGET


def split_address(address: str) -> tuple[str, int]:
    """The host and port of HOST:PORT; an IPv6 host stands in brackets.

    Raises ValueError with a message for people.
    """
    host, colon, port = address.rpartition(":")
    if not colon or not host or not (port.isascii() and port.isdecimal()) or int(port) > 65_535:
        raise ValueError(f"{address!r} is not an address; write HOST:PORT, such as 127.0.0.1:8080")
    return host.removeprefix("[").removesuffix("]"), int(port)


def is_loopback_host(host: str) -> bool:
    """Whether a host, a name or an IP address, is this machine as only it itself can reach it."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


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
    insecure: bool = False
    allow_hosts: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_separated)] = ()
    max_downloads: int = Field(default=16, ge=1, le=1_000)
    max_follows: int = Field(default=32, ge=1, le=1_000)
    retry_for_s: float = Field(default=10.0, ge=0)
    stall_timeout_s: float = Field(default=300.0, gt=0)
    shutdown_grace_s: float = Field(default=10.0, ge=0)

    @model_validator(mode="after")
    def _closed_by_default(self) -> Self:
        if not self.insecure and not self.is_local:
            raise ValueError(
                f"listen: {self.listen} can be reached from other machines, which needs --insecure:"
                " everyone who reaches it can then read all events"
            )
        return self

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach the dashboard."""
        return is_loopback_host(split_address(self.listen)[0])
