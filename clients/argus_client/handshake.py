"""Why no connection to a server came about, as far as TLS is the reason.

gRPC tells of this in message text alone, and for some reasons only that a socket was closed. So it is
tried once more, with Python's own TLS, whose errors have codes. Nothing but a greeting is sent.
"""

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

from argus_client.errors import InvalidRequest, TlsFailed, TlsProblem
from argus_client.transport import Tls, first_address, make_context

_TIMEOUT_S = 3.0

# RFC 9113 section 3.4, and an empty SETTINGS frame.
_GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])

# X509_V_ERR_… of OpenSSL's x509_vfy.h.
_NOT_YET_VALID, _EXPIRED, _NAME_MISMATCHES, _NO_AUTHORITY = 9, 10, (62, 64), (18, 19, 20, 21)


def find_tls_problem(target: str, tls: Tls | None) -> TlsFailed | None:
    """What is wrong with TLS between this client and the server; None if that is not the reason, or it
    cannot be known. Takes a few milliseconds, or 3 s each where nothing answers."""
    address = first_address(target)
    if address is None:
        return None
    try:
        return _look_in_plaintext(target, address) if tls is None else _look(target, address, tls)
    except (OSError, InvalidRequest):
        # It is not reached in this way either, for a reason that is not TLS, or what was told before.
        return None


def _look_in_plaintext(target: str, address: tuple[str, int]) -> TlsFailed | None:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with _connected(address, context, None):
            pass
    except ssl.SSLError as error:
        if not _is_alert(error):
            return None
    return TlsFailed(
        f"the server at {target} speaks TLS, and was spoken to in plaintext", problem="server_tls"
    )


def _look(target: str, address: tuple[str, int], tls: Tls) -> TlsFailed | None:
    def failed(problem: TlsProblem, what: str) -> TlsFailed:
        return TlsFailed(what, problem=problem)

    context = make_context(tls)
    name = tls.server_name or address[0]
    try:
        with _connected(address, context, name) as connection:
            if connection.selected_alpn_protocol() != "h2":
                return failed("not_grpc", f"what answers at {target} speaks TLS, but is no gRPC server")
            if _is_turned_away(connection):
                return failed("client_certificate", _tell_turned_away(target, tls))
    except ssl.SSLCertVerificationError as error:
        of_server = f"the certificate of the server at {target}"
        if error.verify_code in _NAME_MISMATCHES:
            return failed("name", f"{of_server} is {_names(address, context)}, not for {name}")
        if error.verify_code == _EXPIRED:
            return failed("expired", f"{of_server} has expired, or one that it relies on")
        if error.verify_code == _NOT_YET_VALID:
            return failed("expired", f"{of_server} is not valid yet, by this machine's clock")
        if error.verify_code in _NO_AUTHORITY:
            return failed("untrusted", f"{of_server} is from no authority that is trusted here")
        return failed("untrusted", f"{of_server} is not trusted: {error.verify_message}")
    except ssl.SSLError as error:
        if _is_alert(error) or isinstance(error, ssl.SSLEOFError):
            return failed("handshake", f"the server at {target} ended the TLS handshake ({error.reason})")
        return failed("server_plaintext", f"the server at {target} does not speak TLS")
    return None


def _is_alert(error: ssl.SSLError) -> bool:
    """Whether the other side said what is wrong, in TLS: the error's symbol is then that of its alert."""
    return "_ALERT_" in (error.reason or "")


def _is_turned_away(connection: ssl.SSLSocket) -> bool:
    """Whether the server hangs up once TLS is there. In TLS 1.3 a client learns only by then that its
    certificate is missing or not good."""
    try:
        connection.sendall(_GREETING)
        return not connection.recv(1)
    except TimeoutError:
        return False
    except OSError:
        return True


def _tell_turned_away(target: str, tls: Tls) -> str:
    if tls.cert is None:
        return f"the server at {target} hangs up: it seems to want a client certificate"
    return f"the server at {target} hangs up: it seems not to take the client certificate {tls.cert}"


def _names(address: tuple[str, int], context: ssl.SSLContext) -> str:
    context.check_hostname = False
    with _connected(address, context, None) as connection:
        certificate = connection.getpeercert() or {}
    names = [str(entry[1]) for entry in certificate.get("subjectAltName", ())]
    return f"for {' and '.join(names)}" if names else "without a name"


@contextmanager
def _connected(
    address: tuple[str, int], context: ssl.SSLContext, name: str | None
) -> Iterator[ssl.SSLSocket]:
    context.set_alpn_protocols(["h2"])
    with (
        socket.create_connection(address, _TIMEOUT_S) as plain,
        context.wrap_socket(plain, server_hostname=name) as connection,
    ):
        yield connection
