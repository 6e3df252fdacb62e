"""Who is signed in: the tokens that stand behind the session cookies, in memory only."""

import asyncio
import hashlib
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

MAX_SESSIONS = 1_000
MAX_SESSIONS_OF_ONE = 20
MAX_IDLE_S = 8 * 3600.0
MAX_AGE_S = 24 * 3600.0

_ID_BYTES = 32


@dataclass(eq=False)
class Session:
    """One person's, from sign-in to its end. key: the store's own, not what the cookie holds."""

    key: bytes
    token: str
    began_s: float
    used_s: float
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    def is_over(self, now_s: float) -> bool:
        """Whether its time is up."""
        return now_s - self.used_s >= MAX_IDLE_S or now_s - self.began_s >= MAX_AGE_S


class Sessions:
    """The sessions of one dashboard: MAX_SESSIONS at most, and MAX_SESSIONS_OF_ONE of one token, beyond which
    the one that was longest without a request goes. For the event loop's thread only."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        # In the order of their last requests.
        self._by_key: dict[bytes, Session] = {}

    def begin(self, token: str) -> str:
        """A new session's id, for its cookie."""
        now_s = self._clock()
        for session in list(self._by_key.values()):
            if session.is_over(now_s):
                self.end(session)
        of_token = [session for session in self._by_key.values() if session.token == token]
        if len(of_token) >= MAX_SESSIONS_OF_ONE:
            self.end(of_token[0])
        while len(self._by_key) >= MAX_SESSIONS:
            self.end(next(iter(self._by_key.values())))
        id = secrets.token_urlsafe(_ID_BYTES)
        key = _key_of(id)
        self._by_key[key] = Session(key, token, now_s, now_s)
        return id

    def find(self, id: str) -> Session | None:
        """The session of that id, which is in use again; None when there is none, or no longer."""
        session = self._by_key.get(_key_of(id))
        if session is None:
            return None
        now_s = self._clock()
        if session.is_over(now_s):
            self.end(session)
            return None
        session.used_s = now_s
        self._by_key[session.key] = self._by_key.pop(session.key)
        return session

    def end(self, session: Session) -> None:
        """Forgets it; ending it again does nothing."""
        self._by_key.pop(session.key, None)
        session.ended.set()

    async def wait_until_over(self, session: Session) -> None:
        """Returns when it has been ended, or is as old as a session gets."""
        with suppress(TimeoutError):
            await asyncio.wait_for(session.ended.wait(), session.began_s + MAX_AGE_S - self._clock())


def _key_of(id: str) -> bytes:
    # The id is 256 random bits, which nobody finds by trying: one plain hash is enough.
    return hashlib.sha256(id.encode()).digest()
