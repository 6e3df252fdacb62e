"""Client certificates. gRPC has verified each when its connection was made; a connection may outlive that."""

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from argus_grpc.access.principal import Principal
from argus_grpc.access.tokens_file import EXPIRED, REFUSED
from argus_grpc.errors import NotAuthenticated

AuthContext = Mapping[str, Any]
"""Sequences of bytes by name, as gRPC has it, though its types say otherwise."""

Authorities = tuple[x509.Certificate, ...]

MAX_KNOWN = 1024
_MAX_PATH = 8


@dataclass
class _Known:
    """A certificate, and whether it was good under some authorities."""

    principal: Principal
    leaf: x509.Certificate
    chain: tuple[x509.Certificate, ...]
    judged_under: Authorities | None = None
    is_good: bool = False


class Certificates:
    """Knows callers by their certificates' subjects (RFC 4514).

    A certificate is judged again when the authorities have changed, so that one which has been taken out
    lets nobody in by a connection, or a TLS session, from before.
    """

    def __init__(self, authorities: Callable[[], Authorities]) -> None:
        """authorities: those whose certificates are good now."""
        self._authorities = authorities
        self._known: dict[str, _Known] = {}
        self._lock = threading.Lock()

    def principal(self, context: AuthContext) -> Principal | None:
        """Whose certificate a connection has, without a role; None if it has none.

        Raises NotAuthenticated if it is no longer good.
        """
        found = context.get("x509_pem_cert")
        if not found:
            return None
        credential = sha256(found[0]).hexdigest()
        with self._lock:
            known = self._recent(credential)
            if known is None:
                while len(self._known) >= MAX_KNOWN:
                    del self._known[next(iter(self._known))]
                known = _read(found[0], context.get("x509_pem_cert_chain", ()), credential)
                self._known[credential] = known
        if not self._is_good(known):
            raise NotAuthenticated(REFUSED)
        if known.principal.has_expired:
            raise NotAuthenticated(EXPIRED)
        return known.principal

    def is_good(self, principal: Principal) -> bool:
        """Whether its certificate leads to one of the authorities there are now."""
        with self._lock:
            known = self._recent(principal.credential)
        return known is not None and self._is_good(known)

    def _recent(self, credential: str) -> _Known | None:
        """What is known of a certificate, which is then the last to be forgotten. To be called locked."""
        known = self._known.pop(credential, None)
        if known is not None:
            self._known[credential] = known
        return known

    def _is_good(self, known: _Known) -> bool:
        authorities = self._authorities()
        with self._lock:
            if known.judged_under is not authorities:
                known.is_good = leads_to(known.leaf, known.chain, authorities)
                known.judged_under = authorities
            return known.is_good


def leads_to(leaf: x509.Certificate, chain: Iterable[x509.Certificate], authorities: Authorities) -> bool:
    """Whether a certificate is one of the authorities, or was issued by one, directly or by way of a chain.

    Nothing else of it is looked at: that was done when its connection was made.
    """
    rest = list(chain)
    certificate = leaf
    for _ in range(_MAX_PATH):
        if any(
            certificate == authority or _was_issued_by(certificate, authority) for authority in authorities
        ):
            return True
        issuer = next((other for other in rest if _was_issued_by(certificate, other)), None)
        if issuer is None:
            return False
        rest.remove(issuer)
        certificate = issuer
    return False


def _was_issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _read(pem: bytes, chain_pems: Iterable[bytes], credential: str) -> _Known:
    try:
        leaf = x509.load_pem_x509_certificate(pem)
        chain = tuple(other for pems in chain_pems for other in x509.load_pem_x509_certificates(pems))
        name = leaf.subject.rfc4514_string()
    except ValueError:
        raise NotAuthenticated(REFUSED) from None
    principal = Principal(name, "certificate", "", leaf.not_valid_after_utc.timestamp(), credential)
    return _Known(principal, leaf, chain)
