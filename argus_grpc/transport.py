"""TLS of the server: its certificate and key, and the authorities of client certificates, read again when
they change."""

import stat
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import grpc
import structlog
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from argus_grpc.access.certificates import Authorities
from argus_grpc.access.watching import BadFile, Watched

_log = structlog.get_logger()


@dataclass(frozen=True)
class _Loaded:
    configuration: grpc.ServerCertificateConfiguration
    authorities: Authorities


class Tls:
    """The TLS of a server. New connections have what its files say now; others go on as they are.

    Raises BadFile if the files cannot be used at first.
    """

    def __init__(self, cert: Path, key: Path, client_ca: Path | None = None) -> None:
        """cert: PEM, the server's certificate first, then those that lead to its authority. client_ca: PEM;
        only clients with a certificate of one of these authorities get in."""
        self._cert, self._key, self._client_ca = cert, key, client_ca
        self._files = Watched([cert, key, *([client_ca] if client_ca else [])], self._parse)
        self._given = self._files.value.configuration

    def look(self) -> None:
        """Reads the files again, and takes what they say if it is new."""
        self._files.look()

    @property
    def authorities(self) -> Authorities:
        """Of client certificates, those that are good now."""
        return self._files.value.authorities

    def credentials(self) -> grpc.ServerCredentials:
        """For gRPC, to listen with."""
        newer = cast("Callable[[], grpc.ServerCertificateConfiguration]", self._newer)
        return grpc.dynamic_ssl_server_credentials(
            self._given, newer, require_client_authentication=self._client_ca is not None
        )

    def _newer(self) -> grpc.ServerCertificateConfiguration | None:
        """Asked for by gRPC before each handshake, which goes on with what it has where this is None."""
        configuration = self._files.value.configuration
        if configuration is self._given:
            return None
        self._given = configuration
        return configuration

    def _parse(self, cert: bytes, key: bytes, client_ca: bytes | None = None) -> _Loaded:
        chain = _certificates(self._cert, cert)
        if _public_key_of(self._key, key) != _spki(chain[0].public_key()):
            raise BadFile(f"{self._key}: is not the key of the certificate in {self._cert}")
        _check_kind(self._cert, chain[0])
        authorities: Authorities = ()
        if self._client_ca is not None and client_ca is not None:
            authorities = _certificates(self._client_ca, client_ca)
        for path, certificates in ((self._cert, chain), (self._client_ca, authorities)):
            for certificate in certificates:
                _warn_of_its_time(path, certificate)
        _warn_of_readers(self._key)
        return _Loaded(grpc.ssl_server_certificate_configuration([(key, cert)], client_ca), authorities)


def _certificates(path: Path, content: bytes) -> Authorities:
    try:
        return tuple(x509.load_pem_x509_certificates(content))
    except ValueError:
        raise BadFile(f"{path}: has no certificate in PEM, or a broken one") from None


def _public_key_of(path: Path, content: bytes) -> bytes:
    try:
        return _spki(load_pem_private_key(content, password=None).public_key())
    except TypeError:
        raise BadFile(f"{path}: is encrypted; a key without a passphrase is needed") from None
    except Exception:
        # Of several kinds, and what they say may show parts of the key.
        raise BadFile(f"{path}: has no private key in PEM, or a broken one") from None


def _check_kind(path: Path, certificate: x509.Certificate) -> None:
    key = certificate.public_key()
    if isinstance(key, ec.EllipticCurvePublicKey) and not isinstance(
        key.curve, ec.SECP256R1 | ec.SECP384R1 | ec.SECP521R1
    ):
        raise BadFile(
            f"{path}: has a key on {key.curve.name}; of elliptic curves P-256, P-384 and P-521 are taken"
        )


def _spki(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _warn_of_its_time(path: Path | None, certificate: x509.Certificate) -> None:
    now = datetime.now(UTC)
    if not certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc:
        _log.warning(
            "certificate_not_valid_now",
            file=str(path),
            subject=certificate.subject.rfc4514_string(),
            not_before=certificate.not_valid_before_utc.isoformat(),
            not_after=certificate.not_valid_after_utc.isoformat(),
        )


def _warn_of_readers(path: Path) -> None:
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & stat.S_IROTH:
        _log.warning("private_key_readable_by_all", file=str(path), mode=f"{mode:04o}", advice="chmod o-rwx")
