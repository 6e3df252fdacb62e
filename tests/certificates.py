"""Certificates of authorities made for a test, and servers that have them."""

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import grpc
import trustme

from argus_client import Tls


@dataclass(frozen=True)
class Authority:
    """An authority whose certificates, and itself, are written to files in `folder`."""

    folder: Path
    name: str = "ca"
    _ca: trustme.CA = field(default_factory=trustme.CA)

    @property
    def file(self) -> Path:
        """Its own certificate."""
        path = self.folder / f"{self.name}.pem"
        self._ca.cert_pem.write_to_path(str(path))
        return path

    def issue(self, *names: str, not_after: datetime | None = None) -> trustme.LeafCert:
        if not_after is None:
            return self._ca.issue_cert(*names)
        return self._ca.issue_cert(*names, not_before=datetime(2020, 1, 1), not_after=not_after)

    def server(self, *names: str, asks_clients: bool = False) -> grpc.ServerCredentials:
        """What a server of this name needs; it asks_clients for a certificate of this authority."""
        return credentials_of(self.issue(*names), self if asks_clients else None)

    def client(self, name: str) -> Tls:
        """What a client of this name needs, whose servers have certificates of this authority."""
        path = write(self.issue(name), self.folder / f"{name}.pem")
        return Tls(self.file, path, path)


def write(certificate: trustme.LeafCert, path: Path) -> Path:
    """Key and chain, in one file."""
    certificate.private_key_and_cert_chain_pem.write_to_path(str(path))
    return path


def credentials_of(
    certificate: trustme.LeafCert, of_clients: Authority | None = None
) -> grpc.ServerCredentials:
    chain = b"".join(part.bytes() for part in certificate.cert_chain_pems)
    roots = of_clients.file.read_bytes() if of_clients is not None else None
    return grpc.ssl_server_credentials(
        [(certificate.private_key_pem.bytes(), chain)], roots, require_client_auth=of_clients is not None
    )
