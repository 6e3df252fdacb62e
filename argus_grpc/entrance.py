"""Who gets in, as the configuration says: TLS, and who calls."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import grpc

from argus_grpc.access import ANONYMOUS
from argus_grpc.access.authenticator import Authenticator, watched_policy, watched_tokens
from argus_grpc.access.certificates import Certificates
from argus_grpc.access.jwks import JwksFile, JwksUrl
from argus_grpc.access.jwt import JwtSettings, JwtVerifier
from argus_grpc.access.watching import LOOK_INTERVAL_S, BadFile
from argus_grpc.config import Config, is_url
from argus_grpc.looking import Looking
from argus_grpc.transport import Tls

T = TypeVar("T")


class Entrance:
    """What the configuration's files say of TLS and of callers, now and as they change. Close it.

    Raises BadFile, which names every mistake at once.
    """

    def __init__(self, config: Config) -> None:
        mistakes: list[str] = []
        self._tls = _try(mistakes, lambda: _tls(config))
        policy = _try(mistakes, lambda: watched_policy(config.policy) if config.policy else None)
        tokens = _try(mistakes, lambda: watched_tokens(config.tokens) if config.tokens else None)
        jwt = _try(mistakes, lambda: _jwt(config))
        certificates = _certificates(self._tls) if self._tls and config.tls_client_ca else None
        if certificates and not (tokens or jwt or (policy and policy.value.certificates)):
            mistakes.append(
                "tls_client_ca: nobody could call, since the policy gives no certificate a role under"
                " [certificates], and there are neither --tokens nor --jwt-jwks"
            )
        is_anyone_known = config.tokens or config.jwt_jwks or config.tls_client_ca
        if policy and not is_anyone_known and not policy.value.role(ANONYMOUS.name):
            mistakes.append(
                f"{config.policy}: binds nobody, since all callers are anonymous: give it a role"
                f" [roles.{ANONYMOUS.name}], or let callers be known by"
                " --tokens, --jwt-jwks or --tls-client-ca"
            )
        if mistakes:
            raise BadFile("\n".join(mistakes))
        self.authenticator = Authenticator(policy, tokens, jwt, certificates)
        self._looking: Looking | None = None

    def watch(self, on_look: Callable[[], None]) -> None:
        """Looks at the files from now on, and calls on_look after each time."""
        self.authenticator.begin()
        looks = [self.authenticator.look, on_look]
        if self._tls:
            looks.insert(0, self._tls.look)
        self._looking = Looking("access-watch", LOOK_INTERVAL_S, looks)

    def listen(self, server: grpc.Server, address: str) -> int:
        """Has a server listen; the port.

        Raises RuntimeError if the address cannot be had.
        """
        if self._tls:
            return server.add_secure_port(address, self._tls.credentials())
        return server.add_insecure_port(address)

    def close(self) -> None:
        if self._looking:
            self._looking.close()
        self.authenticator.close()


def _try(mistakes: list[str], make: Callable[[], T]) -> T | None:
    try:
        return make()
    except BadFile as error:
        mistakes.append(str(error))
        return None


def _tls(config: Config) -> Tls | None:
    if config.tls_cert is None or config.tls_key is None:
        return None
    return Tls(config.tls_cert, config.tls_key, config.tls_client_ca)


def _certificates(tls: Tls) -> Certificates:
    return Certificates(lambda: tls.authorities)


def _jwt(config: Config) -> JwtVerifier | None:
    if config.jwt_jwks is None or config.jwt_issuer is None or config.jwt_audience is None:
        return None
    settings = JwtSettings(
        config.jwt_issuer, config.jwt_audience, config.jwt_name_claim, config.jwt_role_claim
    )
    jwks = config.jwt_jwks
    return JwtVerifier(settings, JwksUrl(jwks) if is_url(jwks) else JwksFile(Path(jwks)))
