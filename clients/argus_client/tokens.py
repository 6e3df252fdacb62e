"""The token by which a server knows who calls."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from argus_client.errors import Violation
from argus_client.query import invalid_request

TokenSource: TypeAlias = str | Callable[[], str]
"""A bearer token, or what gives the one to use now: it is asked before each call, by any thread."""

# RFC 6750 section 2.1, b64token.
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*", re.ASCII)


# What a server takes as the headers of a call, by default.
_MAX_FILE_BYTES = 8 * 1024


class TokenFile:
    """The token in a file, read each time it is asked for, since it may have been replaced. From what is
    no file, such as a pipe, it is read once. Raises InvalidRequest."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)
        token = self._read()
        self._only = None if self._path.is_file() else token

    def __call__(self) -> str:
        return self._only if self._only is not None else self._read()

    def _read(self) -> str:
        try:
            with self._path.open("rb") as file:
                found = file.read(_MAX_FILE_BYTES + 1)
        except OSError as error:
            raise _refused(f"{self._path} cannot be read: {error.strerror or error}") from error
        if len(found) > _MAX_FILE_BYTES:
            raise _refused(f"{self._path} has more than {_MAX_FILE_BYTES:,} bytes, too many for a token")
        token = found.decode("latin-1").strip()
        check_token(token, f"what is in {self._path}")
        return token


def current_token(source: TokenSource | None) -> str | None:
    """The token to use now. Raises InvalidRequest, which never shows it, if it cannot be one."""
    token = source() if callable(source) else source
    if token is not None:
        check_token(token)
    return token


def check_token(token: str, what: str = "it") -> None:
    """Raises InvalidRequest, which never shows it, for what cannot be a token.

    what: how the message calls it.
    """
    if _TOKEN.fullmatch(token):
        return
    if token:
        begin = _TOKEN.match(token)
        place = begin.end() if begin else 0
        wrong = f"{what} cannot be one, because of its character {place + 1}, {token[place]!r}"
    else:
        wrong = f"{what} is empty"
    raise _refused(f"{wrong}; allowed: letters, digits and - . _ ~ + /, then = signs (RFC 6750)")


def _refused(what: str) -> Exception:
    return invalid_request((Violation("token", what),))
