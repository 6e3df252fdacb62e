"""How a server is reached: in plaintext or over TLS, trusting whom, under which certificate."""

import ipaddress
import os
from dataclasses import dataclass
from pathlib import Path

import grpc

from argus_client.errors import Violation
from argus_client.query import invalid_request

_Path = str | os.PathLike[str]


@dataclass(frozen=True)
class Tls:
    """How the server is made sure of over TLS, and how the client shows who it is.

    ca: PEM file of the authorities that are trusted; None: the system's.
    cert, key: PEM files of the client's certificate, with its chain, and of its private key; both or
        neither.
    server_name: whom the server's certificate must name; None: the host of the target.
    """

    ca: _Path | None = None
    cert: _Path | None = None
    key: _Path | None = None
    server_name: str | None = None

    def __post_init__(self) -> None:
        if (self.cert is None) is not (self.key is None):
            given, missing = ("cert", "key") if self.key is None else ("key", "cert")
            raise invalid_request(
                (Violation(f"tls.{missing}", f"must be given too, since tls.{given} is"),),
            )


def choose_tls(target: str, tls: Tls | None, *, insecure: bool) -> Tls | None:
    """What is meant for this target: None is plaintext. Raises InvalidRequest."""
    if insecure and tls is not None:
        raise invalid_request((Violation("insecure", "True is not allowed together with tls"),))
    if insecure or (tls is None and is_loopback(target)):
        return None
    return tls or Tls()


def is_loopback(target: str) -> bool:
    """Whether what is sent to this gRPC target surely stays on this machine.

    https://github.com/grpc/grpc/blob/master/doc/naming.md has the forms of targets.
    """
    scheme, colon, rest = target.partition(":")
    if colon and scheme in ("unix", "unix-abstract"):
        return True
    if colon and scheme in ("ipv4", "ipv6"):
        return all(_is_loopback_host(host_of(address)) for address in rest.split(","))
    if colon and scheme == "dns":
        # With an authority it is some other machine that says where localhost is.
        if rest.startswith("//") and not rest.startswith("///"):
            return False
        target = rest.lstrip("/")
    return _is_loopback_host(host_of(target))


def host_of(address: str) -> str:
    """The host of HOST, HOST:PORT, [HOST]:PORT, or of an IPv6 address alone."""
    if address.startswith("["):
        return address[1:].partition("]")[0]
    return address.partition(":")[0] if address.count(":") == 1 else address


def _is_loopback_host(host: str) -> bool:
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def open_channel(target: str, tls: Tls | None, options: tuple[tuple[str, object], ...]) -> grpc.Channel:
    """A channel to the target; None is plaintext. Raises InvalidRequest if a file cannot be read."""
    if tls is None:
        return grpc.insecure_channel(target, options=options)
    credentials = grpc.ssl_channel_credentials(
        root_certificates=_read("tls.ca", tls.ca) or _system_roots(),
        private_key=_read("tls.key", tls.key),
        certificate_chain=_read("tls.cert", tls.cert),
    )
    if tls.server_name is not None:
        options = (*options, ("grpc.ssl_target_name_override", tls.server_name))
    return grpc.secure_channel(target, credentials, options=options)


def _read(field: str, path: _Path | None) -> bytes | None:
    if path is None:
        return None
    try:
        return Path(path).read_bytes()
    except OSError as error:
        told = f"{os.fspath(path)} cannot be read: {error.strerror or error}"
        raise invalid_request((Violation(field, told),)) from error


def _system_roots() -> bytes | None:
    """The authorities that the system trusts, in PEM; None if it says of none: gRPC has some of its own."""
    import ssl

    paths = ssl.get_default_verify_paths()
    file = Path(paths.cafile or paths.openssl_cafile)
    if file.is_file():
        return file.read_bytes()
    # Windows has them in a store of its own.
    known = ssl.create_default_context().get_ca_certs(binary_form=True)
    return "".join(map(ssl.DER_cert_to_PEM_cert, known)).encode() or None
