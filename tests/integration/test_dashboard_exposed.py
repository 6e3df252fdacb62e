"""A dashboard that other machines can reach: its server must ask who calls."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from argus_client import ExportClient, NotSignedIn, ServerUnavailable
from argus_dashboard.callers import NOBODY, Caller
from argus_dashboard.config import Config
from argus_dashboard.gateway import Gateway
from argus_dashboard.problems import Problem
from argus_dashboard.sessions import Session
from tests.certificates import Authority, write
from tests.conftest import RunningServer
from tests.people import WRONG, start_people


def exposed(server: str, folder: Path, **settings: Any) -> Gateway:
    """One that would listen everywhere: it does not listen here."""
    pem = write(Authority(folder).issue("localhost"), folder / "dashboard.pem")
    return Gateway(Config(server=server, listen="0.0.0.0:8443", tls_cert=pem, tls_key=pem, **settings))


async def refusal(gateway: Gateway, caller: Caller) -> tuple[int, str]:
    refusals = []
    for ask in (gateway.call(caller, ExportClient.columns), gateway.connect(caller)):
        with pytest.raises(Problem) as caught:
            await ask
        refusals.append((int(caught.value.status), caught.value.kind))
    assert refusals[0] == refusals[1]
    return refusals[0]


def test_a_server_that_asks_nobody_is_shown_to_nobody(server: RunningServer, tmp_path: Path) -> None:
    async def check() -> None:
        with exposed(server.address, tmp_path) as gateway:
            assert await refusal(gateway, NOBODY) == (401, "not-signed-in")
            # Any token would do there.
            assert await refusal(gateway, Caller("anything")) == (403, "server-open")

    asyncio.run(check())


def test_unless_that_is_said_to_be_meant(server: RunningServer, tmp_path: Path) -> None:
    async def check() -> None:
        with exposed(server.address, tmp_path, insecure=True) as gateway:
            assert await gateway.call(NOBODY, ExportClient.columns)

    asyncio.run(check())


def test_a_server_that_asks_is_shown_to_those_it_knows(tmp_path: Path) -> None:
    async def check(address: str, token: str) -> None:
        with exposed(address, tmp_path) as gateway:
            assert await refusal(gateway, NOBODY) == (401, "not-signed-in")
            assert await gateway.call(Caller(token), ExportClient.columns)
            with pytest.raises(NotSignedIn):
                await gateway.call(Caller(WRONG), ExportClient.columns)

    for people in start_people(tmp_path):
        asyncio.run(check(people.server.address, people.token("reader")))


def test_who_has_signed_in_is_told_what_is_wrong_with_the_server() -> None:
    session = Session(b"key", "token", 0.0, 0.0)
    with Gateway(Config()) as gateway:
        error = ServerUnavailable("no server answers at argus.example:50051")
        with pytest.raises(ServerUnavailable), gateway.serving(Caller("token", session)):
            raise error
        for stranger in (NOBODY, Caller("token")):
            with pytest.raises(Problem) as caught, gateway.serving(stranger):
                raise error
            assert "argus.example" not in str(caught.value.to_response().body)
