"""Keys of JSON Web Tokens at an address: fetched seldom, and kept while it fails."""

import pytest

from argus_grpc.access import jwks as jwks_module
from argus_grpc.access.jwks import JwksUrl
from argus_grpc.access.jwt import JwtSettings, JwtVerifier
from argus_grpc.errors import KeysUnavailable, NotAuthenticated
from tests.identities import AUDIENCE, ISSUER, Issuer, jwks_server
from tests.refusals import wait_until

SETTINGS = JwtSettings(ISSUER, AUDIENCE)
ISSUED = Issuer()


def from_url(url: str) -> JwtVerifier:
    verifier = JwtVerifier(SETTINGS, JwksUrl(url))
    verifier.begin()
    return verifier


def test_keys_of_an_address_stay_in_force_while_it_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jwks_module, "FETCH_INTERVAL_S", 0.02)
    monkeypatch.setattr(jwks_module, "RETRY_INTERVAL_S", 0.02)
    with jwks_server(ISSUED.jwks()) as server:
        verifier = from_url(server.url)
        assert verifier.principal(ISSUED.token()).name == "ann"
        server.content = None
        fetches = server.fetches
        wait_until(lambda: server.fetches > fetches + 2)
        assert verifier.principal(ISSUED.token("bob")).name == "bob"
        new = Issuer(kid="key-2")
        server.content = new.jwks()
        wait_until(lambda: verifier._source.keys.get("key-2") is not None)
        assert verifier.principal(new.token("cem")).name == "cem"
        with pytest.raises(NotAuthenticated):
            verifier.principal(ISSUED.token("bob"))
        verifier.close()


def test_an_unknown_key_is_looked_for_once_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    with jwks_server(ISSUED.jwks()) as server:
        verifier = from_url(server.url)
        assert verifier.principal(ISSUED.token()).name == "ann"
        for n in range(5):
            with pytest.raises(NotAuthenticated):
                verifier.principal(Issuer(kid=f"unknown-{n}").token())
        assert server.fetches == 1
        new = Issuer(kid="key-2")
        server.content = new.jwks()
        monkeypatch.setattr(jwks_module, "MIN_FETCH_INTERVAL_S", 0.0)
        assert verifier.principal(new.token("bob")).name == "bob"
        assert server.fetches == 2
        verifier.close()


def test_without_keys_yet_callers_are_to_try_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jwks_module, "RETRY_INTERVAL_S", 0.02)
    with jwks_server(None) as server:
        verifier = from_url(server.url)
        with pytest.raises(KeysUnavailable):
            verifier.principal(ISSUED.token())
        server.content = ISSUED.jwks()
        wait_until(lambda: verifier._source._keys is not None)  # type: ignore[attr-defined]
        assert verifier.principal(ISSUED.token()).name == "ann"
        verifier.close()


def test_a_redirect_is_not_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jwks_module, "RETRY_INTERVAL_S", 0.02)
    with jwks_server(ISSUED.jwks()) as elsewhere, jwks_server(None) as server:
        server.redirect_to = elsewhere.url
        verifier = from_url(server.url)
        wait_until(lambda: server.fetches > 1)
        with pytest.raises(KeysUnavailable):
            verifier.principal(ISSUED.token())
        assert elsewhere.fetches == 0
        verifier.close()


@pytest.mark.parametrize(
    "garbage", [b"", b"SSH-2.0-x\r\n", b"HTTP/1.0 200 OK\r\nContent-Length: 9999\r\n\r\n{"]
)
def test_garbage_does_not_end_the_fetching(monkeypatch: pytest.MonkeyPatch, garbage: bytes) -> None:
    monkeypatch.setattr(jwks_module, "RETRY_INTERVAL_S", 0.02)
    with jwks_server(ISSUED.jwks()) as server:
        server.garbage = garbage
        verifier = from_url(server.url)
        wait_until(lambda: server.fetches > 2)
        server.garbage = None
        wait_until(lambda: verifier._source._keys is not None)  # type: ignore[attr-defined]
        assert verifier.principal(ISSUED.token()).name == "ann"
        verifier.close()
