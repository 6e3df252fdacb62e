"""Who calls, by what a call brings with it, and in what role."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from argus_grpc.access.certificates import AuthContext, Authorities, Certificates, role_of_subject
from argus_grpc.access.jwks import JwksFile, JwksUrl
from argus_grpc.access.jwt import JwtSettings, JwtVerifier
from argus_grpc.access.principal import ANONYMOUS, Principal
from argus_grpc.access.role import UNRESTRICTED, Role
from argus_grpc.access.tokens_file import PREFIX, REFUSED, Tokens, parse_tokens
from argus_grpc.access.watching import Watched
from argus_grpc.errors import KeysUnavailable, NotAuthenticated, NotPermitted

Metadata = Sequence[tuple[str, str | bytes]]


@dataclass(frozen=True)
class _Policy:
    roles: Mapping[str, Role]
    certificates: Mapping[str, str]


def _built_in_policy() -> _Policy:
    reading = frozenset({"ListColumns", "PlanExport", "StreamEvents", "StreamAggregates"})
    roles = (
        Role("admin"),
        Role("reader", rpcs=reading),
        Role("writer", rpcs=frozenset({"IngestEvents"})),
    )
    return _Policy({role.name: role for role in roles}, {})


class Authenticator:
    """Knows callers by their tokens and certificates, and the roles they have now. Close it.

    Where nothing is given to know them by, everyone is ANONYMOUS.
    """

    def __init__(
        self,
        tokens: Path | None = None,
        jwt: JwtSettings | None = None,
        authorities: Callable[[], Authorities] | None = None,
    ) -> None:
        """authorities: of client certificates, those that are good now.

        Raises BadFile if a file cannot be used.
        """
        self._tokens = (
            Watched([tokens], lambda content: Tokens(parse_tokens(tokens, content))) if tokens else None
        )
        self._keys = (JwksUrl if "://" in jwt.jwks else JwksFile)(jwt.jwks) if jwt else None
        self._jwt = JwtVerifier(jwt, self._keys) if jwt and self._keys else None
        self._certificates = Certificates(authorities) if authorities else None
        self._policy = _built_in_policy()
        self._missing = self._say_what_is_accepted()

    def close(self) -> None:
        if self._keys:
            self._keys.close()

    def look(self) -> None:
        """Reads the files again if they have changed."""
        if self._tokens:
            self._tokens.look()
        if self._keys:
            self._keys.look()

    def authenticate(self, metadata: Metadata, auth_context: Callable[[], AuthContext]) -> Principal:
        """Who calls.

        Raises KeysUnavailable, NotAuthenticated.
        """
        if not self._missing:
            return ANONYMOUS
        given = [str(value) for key, value in metadata if key == "authorization"]
        if given:
            scheme, _, bearer = given[0].partition(" ")
            if len(given) > 1 or scheme.lower() != "bearer":
                raise NotAuthenticated(REFUSED)
            return self._by_bearer(bearer.strip())
        principal = self._certificates.principal(auth_context()) if self._certificates else None
        if principal is None:
            raise NotAuthenticated(self._missing)
        return principal

    def role_of(self, principal: Principal) -> Role:
        """What a principal may do.

        Raises NotPermitted where it has no role.
        """
        role = self._find_role(principal)
        if role is None:
            named = self._role_name(principal)
            has = f"the role {named!r}, which there is not" if named else "no role"
            raise NotPermitted(f"{principal.name!r} has {has}")
        return role

    def still(self, principal: Principal) -> Role | None:
        """The role that a principal has now; None if its credentials are no longer good, or it has none."""
        if principal.expires_s is not None and principal.expires_s <= time.time():
            return None
        if principal.kind == "token":
            if not self._tokens or self._tokens.value.by_id(principal.credential) != principal:
                return None
        return self._find_role(principal)
