"""How a server is reached: in plaintext or over TLS, trusting whom, under which certificate."""

import ipaddress
import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import grpc

from argus_client.errors import InvalidRequest, Violation
from argus_client.query import invalid_request

if TYPE_CHECKING:
    import ssl

_Path: TypeAlias = str | os.PathLike[str]
_Stamp: TypeAlias = tuple[tuple[int, int, int], ...]


@dataclass(frozen=True)
class Tls:
    """How the server is made sure of over TLS, and how the client shows who it is.

    ca: PEM file of the authorities that are trusted; None: the system's.
    cert, key: PEM files of the client's certificate, with its chain, and of its private key, which is
        not encrypted; both or neither. One file may have both.
    server_name: whom the server's certificate must name; None: the host of the target.

    The files are looked at before each call: when they have changed, that call and those after it are
    made on a new connection, while calls under way go on. As long as what is new there does not fit, such
    as a key that is not the certificate's yet, what was there before stays in use.
    """

    ca: _Path | None = None
    cert: _Path | None = None
    key: _Path | None = None
    server_name: str | None = None

    def __post_init__(self) -> None:
        if (self.cert is None) is not (self.key is None):
            given, missing = ("cert", "key") if self.key is None else ("key", "cert")
            raise _refused(missing, f"unset is not allowed with tls.{given}; allowed: both or neither")


def choose_tls(target: str, tls: Tls | None, *, insecure: bool) -> Tls | None:
    """What is meant for this target: None is plaintext. Raises InvalidRequest."""
    if insecure and tls is not None:
        raise invalid_request((Violation("insecure", "True is not allowed together with tls"),))
    if insecure or (tls is None and is_loopback(target)):
        return None
    return tls or Tls()


def is_loopback(target: str) -> bool:
    """Whether what is sent to this gRPC target surely stays on this machine."""
    hosts = _hosts(target)
    return hosts is None or all(is_loopback_host(host) for host, _ in hosts)


def first_address(target: str) -> tuple[str, int] | None:
    """Host and port of a gRPC target, of the first if there are several; None for one without a port of
    its own, such as a Unix socket."""
    hosts = _hosts(target)
    if not hosts or not hosts[0][1].isdecimal():
        return None
    return hosts[0][0], int(hosts[0][1])


def _hosts(target: str) -> list[tuple[str, str]] | None:
    """Hosts and ports of a target, None for a Unix socket. The forms of targets:
    https://github.com/grpc/grpc/blob/master/doc/naming.md"""
    scheme, colon, rest = target.partition(":")
    if colon and scheme in ("unix", "unix-abstract"):
        return None
    if colon and scheme in ("ipv4", "ipv6"):
        return [_split(address) for address in rest.split(",")]
    if colon and scheme == "dns":
        authority, slash, name = rest[2:].partition("/") if rest.startswith("//") else ("", "", rest)
        # With an authority it is some other machine that says where localhost is.
        return [_split(name)] if not authority and (slash or name == rest) else [("", "")]
    return [_split(target)]


def _split(address: str) -> tuple[str, str]:
    """Host and port of HOST, HOST:PORT, [HOST]:PORT, or of an IPv6 address alone."""
    if address.startswith("["):
        host, _, rest = address[1:].partition("]")
        return host, rest.removeprefix(":")
    if address.count(":") > 1:
        return address, ""
    host, _, port = address.partition(":")
    return host, port


def is_loopback_host(host: str) -> bool:
    """Whether a host, a name or an IP address, is this machine as only it itself can reach it."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Credentials:
    """What the files of `tls` held when they were last good. Several channels may share it.

    Raises InvalidRequest if they are not good to begin with.
    """

    def __init__(self, tls: Tls) -> None:
        self.tls = tls
        self._stamp = self._look_at_files()
        self._good = _load(tls)
        self._changing = threading.Lock()

    def current(self) -> grpc.ChannelCredentials:
        """Others than before when the files have changed, and are good."""
        found = self._look_at_files()
        with self._changing:
            if found and found != self._stamp:
                try:
                    self._good = _load(self.tls)
                except InvalidRequest:
                    # Half replaced. The next call looks again.
                    return self._good
                self._stamp = found
            return self._good

    def _look_at_files(self) -> _Stamp:
        try:
            return _stamp(self.tls)
        except OSError:
            # One that is being replaced; one that is never there is told of where it is read.
            return ()


def open_channel(
    target: str,
    tls: Tls | None,
    credentials: grpc.ChannelCredentials | None,
    options: tuple[tuple[str, object], ...],
) -> grpc.Channel:
    """A channel to the target; None is plaintext."""
    if tls is None or credentials is None:
        if is_loopback(target):
            # Else one that the environment names would be sent the token in plaintext.
            options = (*options, ("grpc.enable_http_proxy", 0))
        return grpc.insecure_channel(target, options=options)
    if tls.server_name is not None:
        options = (*options, ("grpc.ssl_target_name_override", tls.server_name))
    return grpc.secure_channel(target, credentials, options=options)


def _load(tls: Tls) -> grpc.ChannelCredentials:
    check_files(tls)
    return grpc.ssl_channel_credentials(
        root_certificates=_read("ca", tls.ca) if tls.ca is not None else _system_roots(),
        private_key=_read("key", tls.key) if tls.key is not None else None,
        certificate_chain=_read("cert", tls.cert) if tls.cert is not None else None,
    )


def check_files(tls: Tls) -> None:
    """Raises InvalidRequest if a file cannot be read, or is not what it should be: gRPC says of such files
    no more than that it cannot connect."""
    if tls.ca is not None or tls.cert is not None:
        make_context(tls)


def make_context(tls: Tls) -> "ssl.SSLContext":
    """The same for Python's own TLS. Raises InvalidRequest."""
    import ssl

    for name, path in (("ca", tls.ca), ("cert", tls.cert), ("key", tls.key)):
        if path is not None:
            _read(name, path)
    try:
        context = ssl.create_default_context(cafile=tls.ca)
    except ssl.SSLError as error:
        raise _refused("ca", f"{tls.ca} has no certificate in PEM in it") from error
    if tls.cert is not None and tls.key is not None:
        try:
            context.load_cert_chain(tls.cert, tls.key, password=_no_password)
        except ssl.SSLError as error:
            why = f" ({error.reason})" if error.reason else ""
            what = (
                f"{tls.cert} and {tls.key} are no certificate and its private key, in PEM, not encrypted{why}"
            )
            raise _refused("cert", what) from error
    return context


def _stamp(tls: Tls) -> _Stamp:
    """Another when the files have changed. Raises OSError."""
    stats = [Path(path).stat() for path in (tls.ca, tls.cert, tls.key) if path is not None]
    return tuple((found.st_mtime_ns, found.st_ino, found.st_size) for found in stats)


def _no_password() -> str:
    # Without this OpenSSL would ask at the terminal for the password of an encrypted key.
    return ""


def _read(name: str, path: _Path) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise _refused(name, f"{os.fspath(path)} cannot be read: {error.strerror or error}") from error


def _refused(name: str, description: str) -> Exception:
    return invalid_request((Violation(f"tls.{name}", description),))


def _system_roots() -> bytes | None:
    """The authorities that the system trusts, in PEM; None if it says of none: gRPC has some of its own."""
    import ssl

    paths = ssl.get_default_verify_paths()
    roots = Path(paths.cafile).read_bytes() if paths.cafile else b""
    if not roots:
        # Windows has them in a store of its own.
        known = ssl.create_default_context().get_ca_certs(binary_form=True)
        roots = "".join(map(ssl.DER_cert_to_PEM_cert, known)).encode()
    if paths.capath and (not roots or paths.openssl_capath_env in os.environ):
        # As OpenSSL looks them up there: by the hash of their subject.
        found = sorted(Path(paths.capath).glob("????????.[0-9]"))
        roots = b"\n".join((roots, *(path.read_bytes() for path in found)))
    return roots or None
