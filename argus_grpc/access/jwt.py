"""JSON Web Tokens that others have signed (RFC 7519, and RFC 8725 on how to take them)."""

import threading
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import jwt

from argus_grpc.access.jwks import KeySource
from argus_grpc.access.principal import Principal
from argus_grpc.access.tokens_file import EXPIRED, REFUSED
from argus_grpc.errors import NotAuthenticated

LEEWAY_S = 30
"""How far apart the issuer's clock and ours may be."""
MAX_VERIFIED = 4096
MAX_NAME_CHARACTERS = 200


@dataclass(frozen=True)
class JwtSettings:
    """What is asked of a token."""

    issuer: str
    audience: str
    name_claim: str = "sub"
    role_claim: str = "role"


class JwtVerifier:
    """Knows callers by JSON Web Tokens. Those that it has verified it knows again by their hash, since a
    signature costs as much as a small call."""

    def __init__(self, settings: JwtSettings, source: KeySource) -> None:
        self._settings = settings
        self._source = source
        self._verified: dict[bytes, Principal] = {}
        self._lock = threading.Lock()

    @property
    def issuer(self) -> str:
        return self._settings.issuer

    def begin(self) -> None:
        """Fetches keys from now on, where they are to be fetched."""
        self._source.begin()

    def look(self) -> None:
        """Takes notice of new keys, where they are to be looked for."""
        self._source.look()

    def close(self) -> None:
        self._source.close()

    def principal(self, token: str) -> Principal:
        """Whom a token speaks for; with an empty role where it has none.

        Raises KeysUnavailable, NotAuthenticated.
        """
        digest = sha256(token.encode()).digest()
        principal = self._verified.get(digest)
        if principal is None or not self.is_good(principal):
            principal = self._verify(token)
            with self._lock:
                while len(self._verified) >= MAX_VERIFIED:
                    del self._verified[next(iter(self._verified))]
                self._verified[digest] = principal
        if principal.has_expired:
            raise NotAuthenticated(EXPIRED)
        return principal

    def is_good(self, principal: Principal) -> bool:
        """Whether the key that its token is signed with is still one of those that are good."""
        return principal.credential in self._source.keys.fingerprints

    def _verify(self, token: str) -> Principal:
        settings = self._settings
        try:
            kid = jwt.get_unverified_header(token).get("kid")
            key = self._source.keys.get(kid)
            if key is None and kid is not None:
                self._source.fetch_for_unknown()
                key = self._source.keys.get(kid)
            if key is None:
                raise NotAuthenticated(REFUSED)
            claims = jwt.decode(
                token,
                key.public_key,
                algorithms=key.algorithms,
                issuer=settings.issuer,
                audience=settings.audience,
                leeway=LEEWAY_S,
                options={"require": ["exp", "iss", "aud", settings.name_claim]},
            )
            expires_s = float(claims["exp"]) + LEEWAY_S
        except jwt.ExpiredSignatureError:
            raise NotAuthenticated(EXPIRED) from None
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError):
            raise NotAuthenticated(REFUSED) from None
        return Principal(
            _to_name(claims[settings.name_claim]),
            "jwt",
            _to_role(claims.get(settings.role_claim)),
            expires_s,
            key.fingerprint,
        )


def _to_name(claim: Any) -> str:
    if not _is_name(claim):
        raise NotAuthenticated(REFUSED)
    return str(claim)


def _to_role(claim: Any) -> str:
    """Some issuers give a list; with one role in it, it is as clear as a text."""
    if isinstance(claim, list) and len(claim) == 1:
        claim = claim[0]
    return str(claim) if _is_name(claim) else ""


def _is_name(claim: Any) -> bool:
    """Whether logs and errors can show it: no lone surrogate is text, and no control character is shown."""
    return isinstance(claim, str) and 0 < len(claim) <= MAX_NAME_CHARACTERS and claim.isprintable()
