"""Who calls, by what a call brings with it, and in what role."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import structlog

from argus_grpc.access.certificates import AuthContext, Certificates
from argus_grpc.access.jwt import JwtVerifier
from argus_grpc.access.policy import BUILT_IN_POLICY, Policy, parse_policy
from argus_grpc.access.principal import ANONYMOUS, Principal
from argus_grpc.access.role import UNRESTRICTED, Role
from argus_grpc.access.tokens_file import PREFIX, REFUSED, Tokens, parse_tokens
from argus_grpc.access.watching import Watched
from argus_grpc.errors import NotAuthenticated, NotPermitted

_log = structlog.get_logger()

Metadata = Sequence[tuple[str, str | bytes]]


class Authenticator:
    """Knows callers by their tokens and certificates, and the roles they have now. Close it.

    Where nothing is given to know them by, everyone is ANONYMOUS. Its role is the policy's "anonymous", and
    UNRESTRICTED where there is no policy.
    """

    def __init__(
        self,
        policy: Watched[Policy] | None = None,
        tokens: Watched[Tokens] | None = None,
        jwt: JwtVerifier | None = None,
        certificates: Certificates | None = None,
    ) -> None:
        self._policy_file = policy
        self._tokens_file = tokens
        self._jwt = jwt
        self._certificates = certificates
        self._asks = tokens is not None or jwt is not None or certificates is not None
        self._missing_text = _missing_text(tokens is not None, jwt, certificates is not None)

    def begin(self) -> None:
        """Fetches what has to be fetched, from now on."""
        if self._jwt:
            self._jwt.begin()

    def close(self) -> None:
        if self._jwt:
            self._jwt.close()

    def look(self) -> None:
        """Reads the files again, as Watched.look does."""
        for file in (self._policy_file, self._tokens_file, self._jwt):
            if file:
                try:
                    file.look()
                except Exception:
                    # A policy that cannot be read must not keep a revoked token good.
                    _log.exception("look_failed")

    @property
    def policy(self) -> Policy:
        """The policy in force."""
        return self._policy_file.value if self._policy_file else BUILT_IN_POLICY

    def authenticate(self, metadata: Metadata, auth_context: Callable[[], AuthContext]) -> Principal:
        """Who calls.

        Raises KeysUnavailable, NotAuthenticated.
        """
        if not self._asks:
            return ANONYMOUS
        given = [str(value) for key, value in metadata if key == "authorization"]
        if given:
            scheme, _, bearer = given[0].partition(" ")
            if len(given) > 1 or scheme.lower() != "bearer":
                raise NotAuthenticated(REFUSED)
            return self._by_bearer(bearer.strip())
        principal = self._certificates.principal(auth_context()) if self._certificates else None
        if principal is None:
            raise NotAuthenticated(self._missing_text)
        return principal

    def role_of(self, principal: Principal) -> Role:
        """What a principal may do.

        Raises NotPermitted where it has no role.
        """
        role = self._role(principal)
        if role is None:
            name = self._role_name(principal)
            has = f"the role {name!r}, which there is not" if name else "no role"
            raise NotPermitted(f"{principal.kind} {principal.name!r} has {has}")
        return role

    def still(self, principal: Principal) -> Role | None:
        """The role that a principal has now; None if its credentials are no longer good, or it has none."""
        return self._role(principal) if not principal.has_expired and self._is_good(principal) else None

    def _is_good(self, principal: Principal) -> bool:
        match principal.kind:
            case "token":
                entry = self._tokens_file.value.by_id(principal.credential) if self._tokens_file else None
                return (
                    entry is not None
                    and not entry.has_expired
                    and (entry, entry.role) == (principal, principal.role)
                )
            case "certificate":
                return self._certificates is not None and self._certificates.is_good(principal)
            case "jwt":
                return self._jwt is not None and self._jwt.is_good(principal)
            case "anonymous":
                return True

    def _role(self, principal: Principal) -> Role | None:
        if principal.kind == "anonymous":
            # A policy that says nothing of it binds nobody, which is hardly what it was written for.
            return self.policy.role(principal.name) if self._policy_file else UNRESTRICTED
        return self.policy.role(self._role_name(principal))

    def _role_name(self, principal: Principal) -> str:
        if principal.kind == "certificate":
            return self.policy.certificate_role(principal.name) or ""
        if principal.kind == "anonymous":
            return principal.name
        return principal.role

    def _by_bearer(self, bearer: str) -> Principal:
        if bearer.startswith(PREFIX) and self._tokens_file:
            return self._tokens_file.value.principal(bearer)
        if self._jwt:
            return self._jwt.principal(bearer)
        raise NotAuthenticated(REFUSED)


def _missing_text(has_tokens: bool, jwt: JwtVerifier | None, has_certificates: bool) -> str:
    """What a call without credentials is told."""
    bearers = [
        *(["a token of `argus-server token create`"] if has_tokens else []),
        *([f"a JSON Web Token of {jwt.issuer}"] if jwt else []),
    ]
    ways = [
        *([f"send {' or '.join(bearers)} as `authorization: Bearer …`"] if bearers else []),
        *(["connect with a client certificate"] if has_certificates else []),
    ]
    return f"credentials are missing: {', or '.join(ways)}"


def watched_policy(path: Path) -> Watched[Policy]:
    """Raises BadFile if it cannot be used."""
    return Watched([path], partial(parse_policy, path))


def watched_tokens(path: Path) -> Watched[Tokens]:
    """Raises BadFile if it cannot be used."""
    return Watched([path], lambda content: Tokens(parse_tokens(path, content)))
