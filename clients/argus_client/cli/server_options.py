"""The options of every command that talks to a server: where it is, how safely, and who calls."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from argus_client.cli.options import option
from argus_client.cli.terminal import echo
from argus_client.client import DEFAULT_TARGET, ExportClient
from argus_client.errors import InvalidRequest, NotSignedIn, TlsFailed, TlsProblem
from argus_client.retry import DEFAULT_RETRY_FOR_S
from argus_client.tokens import TokenFile, TokenSource, check_token
from argus_client.transport import Tls, is_loopback

_HEADING = "Server"
_TOKEN_VARIABLE = "ARGUS_TOKEN"

_OPTIONS = (
    option(
        "--server",
        metavar="HOST:PORT",
        default=DEFAULT_TARGET,
        show_default=True,
        heading=_HEADING,
        help="The Argus server. One on this machine is spoken to in plaintext, any other over TLS.",
    ),
    option(
        "--token-file",
        type=click.Path(path_type=Path),
        metavar="FILE",
        heading=_HEADING,
        help="The file with the token that says who you are, as `argus-server token create` gives it. It is "
        f"read for each call, so it can be replaced. Or give the token itself as {_TOKEN_VARIABLE} in the "
        "environment.",
    ),
    option(
        "--tls",
        "wants_tls",
        is_flag=True,
        heading=_HEADING,
        help="TLS with a server on this machine, too. Each --tls-… option asks for it as well.",
    ),
    option(
        "--tls-ca",
        type=click.Path(path_type=Path),
        metavar="FILE",
        heading=_HEADING,
        help="The authorities (PEM) one of which must have issued the server's certificate.  [default: those "
        "that the system trusts]",
    ),
    option(
        "--tls-cert",
        type=click.Path(path_type=Path),
        metavar="FILE",
        heading=_HEADING,
        help="Your certificate and its chain (PEM), for a server that asks for one.",
    ),
    option(
        "--tls-key",
        type=click.Path(path_type=Path),
        metavar="FILE",
        heading=_HEADING,
        help="Its private key (PEM, not encrypted).",
    ),
    option(
        "--tls-server-name",
        metavar="NAME",
        heading=_HEADING,
        help="The name that the server's certificate must have.  [default: the HOST]",
    ),
    option(
        "--insecure",
        is_flag=True,
        heading=_HEADING,
        help="Plaintext with a server on another machine: anyone on the way can read and change all, your "
        "token included.",
    ),
)

_ADVICE: dict[TlsProblem, str] = {
    "server_plaintext": "To speak plaintext with it: on this machine leave out --tls and what begins so; "
    "elsewhere pass --insecure, which lets anyone on the way read all.",
    "server_tls": "Pass --tls, and --tls-ca FILE if the system does not trust who issued its certificate.",
    "untrusted": "Pass --tls-ca FILE with the certificate of the authority that issued it.",
    "name": "Name it so in --server, or say with --tls-server-name which name it must have.",
    "client_certificate": "Pass --tls-cert FILE and --tls-key FILE that the server accepts.",
}


@dataclass(frozen=True)
class Server:
    """A server, and in which way it is called."""

    target: str
    token: TokenSource | None
    token_from: str
    """Where the token is from, for messages; empty without one."""
    tls: Tls | None
    insecure: bool

    @contextmanager
    def client(self, retry_for_s: float = DEFAULT_RETRY_FOR_S) -> Iterator[ExportClient]:
        """A client for the block; what it raises there tells which options may help."""
        with self.advising():
            client = ExportClient(
                self.target, token=self.token, tls=self.tls, insecure=self.insecure, retry_for_s=retry_for_s
            )
            with client:
                yield client

    @contextmanager
    def advising(self) -> Iterator[None]:
        """What is raised within has a note on which options may help."""
        try:
            yield
        except NotSignedIn as error:
            error.add_note(self._sign_in_advice())
            raise
        except TlsFailed as error:
            if error.problem in _ADVICE:
                error.add_note(_ADVICE[error.problem])
            raise

    def _sign_in_advice(self) -> str:
        if self.token is not None:
            return f"The token from {self.token_from} was sent."
        certificate = " Your certificate was shown." if self.tls is not None and self.tls.cert else ""
        return (
            f"No token was sent.{certificate} Pass --token-file FILE or set {_TOKEN_VARIABLE}, or pass a "
            "certificate that it knows with --tls-cert FILE and --tls-key FILE."
        )


def server_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Gives a command these options; it gets them as the argument `server`."""

    @wraps(command)
    def with_server(
        *,
        server: str,
        token_file: Path | None,
        wants_tls: bool,
        tls_ca: Path | None,
        tls_cert: Path | None,
        tls_key: Path | None,
        tls_server_name: str | None,
        insecure: bool,
        **others: Any,
    ) -> Any:
        if (tls_cert is None) is not (tls_key is None):
            raise click.UsageError("--tls-cert and --tls-key must be given together")
        uses_tls = wants_tls or any((tls_ca, tls_cert, tls_server_name))
        if uses_tls and insecure:
            raise click.UsageError("--insecure cannot be given together with --tls, or what begins so")
        token, token_from = _find_token(token_file)
        if insecure and not is_loopback(server):
            what = "all that is sent and received" + (", and your token," if token is not None else "")
            who = f"anyone on the way to {server}"
            echo(f"WARNING: --insecure: {what} can be read and changed by {who}", err=True)
        tls = Tls(tls_ca, tls_cert, tls_key, tls_server_name) if uses_tls else None
        return command(server=Server(server, token, token_from, tls, insecure), **others)

    for decorate in reversed(_OPTIONS):
        with_server = decorate(with_server)
    return with_server


def _find_token(file: Path | None) -> tuple[TokenSource | None, str]:
    token = os.environ.get(_TOKEN_VARIABLE, "").strip()
    if file is not None:
        source = click.get_current_context().get_parameter_source("token_file")
        if token and source is ParameterSource.ENVIRONMENT:
            raise click.UsageError(f"{_TOKEN_VARIABLE} and ARGUS_TOKEN_FILE are both set; set one of them")
        return TokenFile(file), str(file)
    if not token:
        return None, ""
    try:
        check_token(token)
    except InvalidRequest as error:
        raise click.UsageError(f"{_TOKEN_VARIABLE} in the environment: {error}") from None
    return token, _TOKEN_VARIABLE
