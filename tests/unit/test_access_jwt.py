"""JSON Web Tokens: which are taken, and where the keys come from."""

import base64
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from argus_grpc.access import jwks
from argus_grpc.access.jwks import JwksFile, parse_jwks
from argus_grpc.access.jwt import LEEWAY_S, MAX_VERIFIED, JwtSettings, JwtVerifier
from argus_grpc.access.principal import Principal
from argus_grpc.access.watching import BadFile
from argus_grpc.errors import NotAuthenticated
from tests.identities import AUDIENCE, ISSUER, Issuer, write_jwks

ANN = Principal("ann", "jwt", "reader")
SETTINGS = JwtSettings(ISSUER, AUDIENCE)
ISSUED = Issuer()
REFUSED = "the credentials are not accepted"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "jwks.json"
    write_jwks(path, ISSUED)
    return path


@pytest.fixture
def verifier(file: Path) -> JwtVerifier:
    return JwtVerifier(SETTINGS, JwksFile(file))


def now() -> int:
    return int(time.time())


def test_a_good_token_names_caller_and_role(verifier: JwtVerifier) -> None:
    expires_s = now() + 60
    principal = verifier.principal(ISSUED.token("ann", "reader", exp=expires_s))
    assert (principal.name, principal.kind, principal.role) == ("ann", "jwt", "reader")
    assert principal.expires_s == expires_s + LEEWAY_S
    for audience in ([AUDIENCE], ["other", AUDIENCE]):
        assert verifier.principal(ISSUED.token(aud=audience)).name == "ann"
    assert verifier.principal(ISSUED.token(role=["writer"])).role == "writer"
    for role in (["a", "b"], [], 7, None, {"reader": True}, "\ud800", "reader\n", "r" * 201, ["\x1b"]):
        assert verifier.principal(ISSUED.token(role=role)).role == ""
    assert verifier.principal(ISSUED.token(without="role")).role == ""


def test_claims_can_have_other_names(file: Path) -> None:
    settings = JwtSettings(ISSUER, AUDIENCE, name_claim="email", role_claim="argus_role")
    principal = JwtVerifier(settings, JwksFile(file)).principal(
        ISSUED.token(email="ann@example.org", argus_role="writer")
    )
    assert (principal.name, principal.role) == ("ann@example.org", "writer")


def public_pem(issuer: Issuer) -> bytes:
    return issuer.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def by_hmac(secret: bytes) -> str:
    """HS256 with a secret of one's own choice: PyJWT refuses to sign with a public key."""
    import hmac

    def encoded(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "eve", "role": "admin", "exp": now() + 60}
    text = f"{encoded({'alg': 'HS256', 'kid': 'key-1'})}.{encoded(claims)}"
    signature = hmac.digest(secret, text.encode(), "sha256")
    return f"{text}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


def unsigned(alg: str) -> str:
    header, payload, _ = ISSUED.token(role="admin").split(".")
    parts = json.loads(base64.urlsafe_b64decode(header + "==")) | {"alg": alg}
    return f"{base64.urlsafe_b64encode(json.dumps(parts).encode()).rstrip(b'=').decode()}.{payload}."


@pytest.mark.parametrize(
    "make",
    [
        lambda: ISSUED.token(iss="https://evil.example"),
        lambda: ISSUED.token(without="iss"),
        lambda: ISSUED.token(aud="other"),
        lambda: ISSUED.token(without="aud"),
        lambda: ISSUED.token(without="exp"),
        lambda: ISSUED.token(without="sub"),
        lambda: ISSUED.token(name=""),
        lambda: ISSUED.token(name="x" * 201),
        lambda: ISSUED.token(exp="soon"),
        lambda: ISSUED.token(nbf=now() + LEEWAY_S + 60),
        lambda: ISSUED.token(iat=now() + LEEWAY_S + 60),
        lambda: Issuer().token(),  # another key of the same name
        lambda: Issuer(kid="key-2").token(),
        lambda: unsigned("none"),
        lambda: unsigned("None"),
        lambda: unsigned("ES256"),
        lambda: by_hmac(public_pem(ISSUED)),
        lambda: by_hmac(json.dumps(ISSUED.jwks()["keys"][0]).encode()),
        lambda: by_hmac(b""),
        lambda: jwt.encode(
            {"sub": "eve"}, ed25519.Ed25519PrivateKey.generate(), "EdDSA", headers={"kid": "key-1"}
        ),
        lambda: jwt.encode({"sub": "eve"}, ISSUED.key, "ES256", headers={"kid": "key-1", "crit": ["b64"]}),
        lambda: ISSUED.token()[:-2],
        lambda: ISSUED.token().replace(".", ".."),
        lambda: ISSUED.token(exp=10**400),
        lambda: ISSUED.token("\ud800"),
        lambda: ISSUED.token("ann\x1b[2J"),
        lambda: ISSUED.token("ann\nbob"),
    ],
)
def test_what_is_not_right_is_refused_without_saying_why(
    verifier: JwtVerifier, make: Callable[[], str]
) -> None:
    with pytest.raises(NotAuthenticated, match=REFUSED):
        verifier.principal(make())


TEXTS = st.one_of(
    st.text(max_size=200),
    st.lists(st.text(alphabet="eyJhbGciOiJ9-_", max_size=40), max_size=5).map(".".join),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(text=TEXTS)
def test_any_text_is_refused(verifier: JwtVerifier, text: str) -> None:
    with pytest.raises(NotAuthenticated):
        verifier.principal(text)


def test_expired_is_told_and_clocks_may_differ_a_little(verifier: JwtVerifier) -> None:
    assert verifier.principal(ISSUED.token(exp=now() - LEEWAY_S + 10)).name == "ann"
    with pytest.raises(NotAuthenticated, match="the token has expired"):
        verifier.principal(ISSUED.token(exp=now() - LEEWAY_S - 10))
    with pytest.raises(NotAuthenticated, match=REFUSED):
        verifier.principal(Issuer().token(exp=now() - LEEWAY_S - 10))


def test_a_token_that_was_verified_expires_all_the_same(
    verifier: JwtVerifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = ISSUED.token()
    assert verifier.principal(token) is verifier.principal(token)
    later_s = time.time() + 3600 + LEEWAY_S + 1
    monkeypatch.setattr(time, "time", lambda: later_s)
    with pytest.raises(NotAuthenticated, match="the token has expired"):
        verifier.principal(token)


def test_a_key_that_is_taken_out_lets_nobody_in(verifier: JwtVerifier, file: Path) -> None:
    token = ISSUED.token()
    principal = verifier.principal(token)
    assert verifier.is_good(principal)
    write_jwks(file, Issuer())  # of the same name
    for _ in range(2):
        verifier.look()
    assert not verifier.is_good(principal)
    with pytest.raises(NotAuthenticated):
        verifier.principal(token)


def test_what_is_remembered_has_a_bound(verifier: JwtVerifier) -> None:
    verifier._verified = dict.fromkeys(map(str.encode, map(str, range(MAX_VERIFIED))), ANN)
    verifier.principal(ISSUED.token("bob"))
    assert len(verifier._verified) == MAX_VERIFIED


def as_jwk(key: Any, **members: object) -> dict[str, Any]:
    algorithm = {
        rsa.RSAPublicKey: jwt.algorithms.RSAAlgorithm,
        ec.EllipticCurvePublicKey: jwt.algorithms.ECAlgorithm,
        ed25519.Ed25519PublicKey: jwt.algorithms.OKPAlgorithm,
    }
    public = key.public_key()
    to_jwk = next(algorithm[kind].to_jwk for kind in algorithm if isinstance(public, kind))  # type: ignore[attr-defined]
    return {**json.loads(to_jwk(public)), "kid": "key-1", **members}


@pytest.mark.parametrize(
    ("make", "algorithm"),
    [
        (lambda: rsa.generate_private_key(65537, 2048), "RS256"),
        (lambda: rsa.generate_private_key(65537, 2048), "PS512"),
        (lambda: ec.generate_private_key(ec.SECP384R1()), "ES384"),
        (lambda: ed25519.Ed25519PrivateKey.generate(), "EdDSA"),
    ],
)
def test_each_kind_of_key_verifies_its_algorithms(
    tmp_path: Path, make: Callable[[], Any], algorithm: str
) -> None:
    key = make()
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps({"keys": [as_jwk(key)]}))
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ann", "exp": now() + 60}
    verifier = JwtVerifier(SETTINGS, JwksFile(path))
    for headers in ({"kid": "key-1"}, {}):
        assert verifier.principal(jwt.encode(claims, key, algorithm, headers=headers)).name == "ann"


def test_without_a_kid_one_of_several_keys_is_not_guessed(tmp_path: Path) -> None:
    path = tmp_path / "jwks.json"
    write_jwks(path, ISSUED, Issuer(kid="key-2"))
    token = jwt.encode(jwt.decode(ISSUED.token(), options={"verify_signature": False}), ISSUED.key, "ES256")
    with pytest.raises(NotAuthenticated):
        JwtVerifier(SETTINGS, JwksFile(path)).principal(token)


WEAK = rsa.generate_private_key(65537, 1024)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is no JWK Set"),
        (b"[]", "is no JWK Set"),
        (b'{"keys": 7}', "is no JWK Set"),
        (b'{"keys": [7]}', "is no JWK Set"),
        (b'{"keys": []}', "has no key to verify signatures with"),
        (b'{"keys": [{"kty": "oct", "k": "c2VjcmV0", "kid": "key-1", "alg": "HS256"}]}', "has no key"),
        (json.dumps({"keys": [as_jwk(WEAK)]}).encode(), "RSA keys of 2048 bits or more"),
        (json.dumps({"keys": [as_jwk(ISSUED.key, use="enc")]}).encode(), "has no key"),
        (json.dumps({"keys": [as_jwk(ISSUED.key, key_ops=["sign"])]}).encode(), "has no key"),
        (json.dumps({"keys": [as_jwk(ISSUED.key, alg="HS256")]}).encode(), "has no key"),
        (json.dumps({"keys": [as_jwk(ISSUED.key, kid=7)]}).encode(), "has no key"),
        (json.dumps({"keys": [as_jwk(ISSUED.key, x="AA")]}).encode(), "has no key"),
        (b"[" * 100_000, "is no JWK Set"),
    ],
)
def test_a_key_set_without_use_is_refused(content: bytes, said: str) -> None:
    with pytest.raises(BadFile, match=said) as refusal:
        parse_jwks("keys.json", content)
    assert "c2VjcmV0" not in str(refusal.value)


def test_keys_for_something_else_are_passed_over() -> None:
    members = [
        {"kty": "oct", "k": "c2VjcmV0"},
        {"kty": "new"},
        as_jwk(WEAK, kid="weak"),
        *ISSUED.jwks()["keys"],
    ]
    keys = parse_jwks("keys.json", json.dumps({"keys": members}).encode())
    assert len(keys.fingerprints) == 1
    assert keys.get("key-1") is not None
    assert keys.get("weak") is None


def test_a_key_that_this_machine_has_no_algorithm_for_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    make = jwt.PyJWK

    def unless_it_is_ed448(member: dict[str, Any], algorithm: str) -> jwt.PyJWK:
        if member.get("crv") == "Ed448":
            raise UnsupportedAlgorithm("ed448 is not supported by this version of OpenSSL")
        return make(member, algorithm)

    monkeypatch.setattr(jwks, "PyJWK", unless_it_is_ed448)
    members = [{"kty": "OKP", "crv": "Ed448", "x": "AA", "kid": "new"}, *ISSUED.jwks()["keys"]]
    keys = parse_jwks("keys.json", json.dumps({"keys": members}).encode())
    assert keys.get("key-1") is not None
    assert keys.get("new") is None
