"""What can go wrong for a client, as exceptions.

ArgusClientError
├── InvalidRequest        the request does not fit; .violations names field, value and rule
├── NotAllowed            the server does not permit it; .violations names field, value and why
│   └── NotSignedIn       it does not know who calls: no token or certificate, or none that is good
├── ServerUnavailable     no server there, or it went away
│   └── TlsFailed         it is there, but TLS with it does not come about; .problem says why
├── LimitExceeded         a limit of the server's was met
├── ResumeRefused         a resume token that the server does not take any more
├── EventsMissed          events that the export should have begun with are gone from the server
├── ServerError           the server failed, or does not serve what was asked
├── BrokenExport          the stream ended early or its data do not add up
├── OutputError           the file cannot be written, or is there already
└── SourceError           events cannot be read from a file
"""

from dataclasses import dataclass
from typing import Literal


class ArgusClientError(Exception):
    """The base of all errors that this library raises on purpose."""


@dataclass(frozen=True)
class Violation:
    """One field that does not fit: its path, and what is wrong with its value and allowed."""

    field: str
    description: str


class InvalidRequest(ArgusClientError):
    """The request does not fit."""

    def __init__(self, message: str, violations: tuple[Violation, ...] = ()) -> None:
        super().__init__(message)
        self.violations = violations


class NotAllowed(ArgusClientError):
    """The server does not permit this caller what was asked. `violations` is empty where it is not about
    fields of the request."""

    def __init__(self, message: str, violations: tuple[Violation, ...] = ()) -> None:
        super().__init__(message)
        self.violations = violations


class NotSignedIn(NotAllowed):
    """The server does not know who calls: a token or certificate is missing, wrong or no longer good.

    has_new_token: whether another token has come since the call was made, which was not tried yet.
    """

    def __init__(
        self, message: str, violations: tuple[Violation, ...] = (), *, has_new_token: bool = False
    ) -> None:
        super().__init__(message, violations)
        self.has_new_token = has_new_token


class ServerUnavailable(ArgusClientError):
    """No server answers, or it went away. The server may say after how many seconds to come again."""

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


TlsProblem = Literal[
    "server_plaintext",
    "server_tls",
    "untrusted",
    "name",
    "expired",
    "client_certificate",
    "not_grpc",
    "handshake",
]
"""What is wrong: the server speaks no TLS; it does, and was spoken to in plaintext; its certificate is not
trusted, is for another name, or is out of its time; it hung up on the client's certificate, or for want of
one; it speaks TLS, but not gRPC; or it ended the handshake."""


class TlsFailed(ServerUnavailable):
    """A server is there, but no connection to it comes about, because of TLS."""

    def __init__(
        self, message: str, retry_after_s: float | None = None, *, problem: TlsProblem = "handshake"
    ) -> None:
        super().__init__(message, retry_after_s)
        self.problem = problem


class LimitExceeded(ArgusClientError):
    """A limit of the server's was met: `limit` is its name, if it is told. One that passes says after how
    many seconds to come again."""

    def __init__(self, message: str, retry_after_s: float | None = None, *, limit: str | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
        self.limit = limit


class ResumeRefused(ArgusClientError):
    """The server does not take the resume token any more."""


class EventsMissed(ArgusClientError):
    """Events after the query's after_sequence have been removed: an export would miss them."""

    def __init__(self, message: str, violations: tuple[Violation, ...] = ()) -> None:
        super().__init__(message)
        self.violations = violations


class ServerError(ArgusClientError):
    """The server failed, or does not serve what was asked."""


class BrokenExport(ArgusClientError):
    """The stream ended early, or its data do not add up: what came is not the whole."""


class OutputError(ArgusClientError):
    """The output cannot be written, or is there already."""


class SourceError(ArgusClientError):
    """Events cannot be read from a file."""
