"""The token by which a server knows who calls."""

import re
from collections.abc import Callable
from typing import TypeAlias

from argus_client.errors import Violation
from argus_client.query import invalid_request

TokenSource: TypeAlias = str | Callable[[], str]
"""A bearer token, or what gives the one to use now: it is asked before each call, by any thread."""

# RFC 6750 section 2.1, b64token.
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*", re.ASCII)


def current_token(source: TokenSource | None) -> str | None:
    """The token to use now. Raises InvalidRequest, which never shows it, if it cannot be one."""
    token = source() if callable(source) else source
    if token is None:
        return None
    if not token:
        raise _refused("it is empty")
    if not _TOKEN.fullmatch(token):
        end = _TOKEN.match(token)
        place = end.end() if end else 0
        raise _refused(f"its character {place + 1}, {token[place]!r}, cannot be there")
    return token


def _refused(what: str) -> Exception:
    allowed = "letters, digits and - . _ ~ + /, then = signs (RFC 6750)"
    return invalid_request((Violation("token", f"{what}; allowed: {allowed}"),))
