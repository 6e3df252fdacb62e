"""Who makes a request: the token that its calls of the server carry, from a header or a session."""

import base64
import binascii
import hashlib
import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from starlette.requests import HTTPConnection
from starlette.types import Scope

from argus_dashboard.problems import not_signed_in
from argus_dashboard.sessions import Session, Sessions

MAX_TOKEN_CHARS = 6_144
"""More would not fit into the 8 KiB that gRPC takes of a call's metadata."""

# RFC 6750, section 2.1; the scheme in any letter case (RFC 9110, section 11.1).
_TOKEN = r"[A-Za-z0-9._~+/-]+=*"
_AUTHORIZATION = re.compile(rf"bearer +(?P<token>{_TOKEN}) *", re.IGNORECASE)
_OURS = re.compile(r"argus_(?P<id>[A-Za-z0-9-]+)_")
_NAMING_CLAIMS = ("preferred_username", "email", "sub")
_MAX_NAME_CHARS = 60
_KEY = "argus.caller"


@dataclass(frozen=True)
class Caller:
    """token: None: nobody is signed in. session: where it is from, unless the request itself has it.
    was_signed_in: by a session that is over."""

    token: str | None = None
    session: Session | None = None
    was_signed_in: bool = False

    @property
    def key(self) -> bytes:
        """What tells one person's things from another's; nobody's are all alike."""
        return hashlib.sha256(self.token.encode()).digest() if self.token else b""


NOBODY = Caller()

KNOWN_S = 10.0
"""How long a caller whom the server took is known."""
_MAX_KNOWN = 1_000


class KnownCallers:
    """Those whom the server took in the last few seconds; of too many, the first go. For the event loop's
    thread only."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        # In the order of their times.
        self._until_s: dict[bytes, float] = {}

    def add(self, caller: Caller) -> None:
        """The server has just taken this one."""
        self.discard(caller)
        self._until_s[caller.key] = self._clock() + KNOWN_S
        if len(self._until_s) > _MAX_KNOWN:
            del self._until_s[next(iter(self._until_s))]

    def discard(self, caller: Caller) -> None:
        """The server has just refused this one."""
        self._until_s.pop(caller.key, None)

    def __contains__(self, caller: Caller) -> bool:
        return self._clock() < self._until_s.get(caller.key, 0.0)


def caller_of(connection: HTTPConnection) -> Caller:
    """Who makes the request. Raises a Problem, 401, for an Authorization field that has no bearer token."""
    scope = connection.scope
    if _KEY not in scope:
        scope[_KEY] = _find(connection)
    caller: Caller = scope[_KEY]
    return caller


def known_caller(scope: Scope) -> Caller:
    """Who made a request, if it mattered to it."""
    caller: Caller = scope.get(_KEY, NOBODY)
    return caller


def cookie_name(scheme: str) -> str:
    """The session cookie's. Browsers take one named __Host- only from HTTPS, with Secure, for all paths of
    this host alone (RFC 6265bis, section 4.1.3.2); plain loopback has none of that."""
    return "__Host-argus-session" if scheme == "https" else "argus-session"


def session_cookie(scheme: str, id: str) -> str:
    """The Set-Cookie field's value; it lasts until the browser ends."""
    secure = "; Secure" if scheme == "https" else ""
    return f"{cookie_name(scheme)}={id}; Path=/; HttpOnly; SameSite=Strict{secure}"


def no_session_cookie(scheme: str) -> str:
    """The Set-Cookie field's value that takes the cookie away."""
    return f"{session_cookie(scheme, '')}; Max-Age=0"


def is_token(text: str) -> bool:
    """Whether a text could be a bearer token."""
    return len(text) <= MAX_TOKEN_CHARS and re.fullmatch(_TOKEN, text) is not None


def _find(connection: HTTPConnection) -> Caller:
    given = connection.headers.getlist("authorization")
    if given:
        found = _AUTHORIZATION.fullmatch(given[0])
        if not found or len(given) > 1 or len(found["token"]) > MAX_TOKEN_CHARS:
            raise not_signed_in(
                "Authorization is not taken; allowed: one field, Bearer and a token of at most "
                f"{MAX_TOKEN_CHARS} characters"
            )
        return Caller(found["token"])
    id = connection.cookies.get(cookie_name(connection.url.scheme))
    sessions: Sessions = connection.app.state.sessions
    session = sessions.find(id) if id else None
    return Caller(was_signed_in=bool(id)) if session is None else Caller(session.token, session)


def name_of(token: str) -> str:
    """What whoever has this token may be shown as. Nothing is checked: the server alone knows who that is."""
    if ours := _OURS.match(token):
        return f"token {ours['id']}"[:_MAX_NAME_CHARS]
    claims = _claims_of(token)
    for claim in _NAMING_CLAIMS:
        name = claims.get(claim)
        if isinstance(name, str) and name.strip():
            return name[:_MAX_NAME_CHARS]
    return "a token"


def _claims_of(token: str) -> dict[str, Any]:
    """Those of a JWT (RFC 7519, section 3), unchecked; empty for what is none."""
    parts = token.split(".")
    if len(parts) != 3:
        return {}
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (binascii.Error, ValueError, RecursionError):
        return {}
    return claims if isinstance(claims, dict) else {}
