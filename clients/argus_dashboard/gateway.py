"""What the requests share: the client, threads, and how many of them there may be."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http import HTTPStatus
from typing import Self, TypeVar

from argus_client import (
    ArgusClientError,
    ExportClient,
    NotAllowed,
    NotSignedIn,
    ServerError,
    ServerUnavailable,
)
from argus_dashboard.callers import Caller, KnownCallers
from argus_dashboard.config import Config
from argus_dashboard.problems import Problem, limit_reached, not_signed_in, tell_stranger
from argus_dashboard.watched import WatchedDownloads

_CALL_THREADS = 16
_MAX_CALLS = 128
_HEALTH_TIMEOUT_S = 5.0
# How long it holds that the server asked who calls.
_ASKS_S = 60.0

_Answer = TypeVar("_Answer")


class Slots:
    """How many of something may run at once: half of them for one caller who has a token, so that nobody
    takes all. For the event loop's thread only.

    limit_name, of_what: how a refusal names it: "max_downloads", "downloads at once".
    """

    def __init__(self, limit_name: str, limit: int, of_what: str, retry_after_s: float) -> None:
        self._limit_name, self._limit, self._of_what = limit_name, limit, of_what
        self._retry_after_s = retry_after_s
        self._limit_of_one = max(1, limit // 2)
        self._taken: Counter[bytes] = Counter()

    @contextmanager
    def take(self, caller: Caller) -> Iterator[None]:
        """Raises a Problem, 429, when none is free, or the caller has as many as one may have."""
        if self._taken.total() >= self._limit:
            raise limit_reached(self._limit_name, self._limit, self._of_what, self._retry_after_s)
        if caller.token is not None and self._taken[caller.key] >= self._limit_of_one:
            of_what = f"{self._of_what} for one caller"
            raise limit_reached(self._limit_name, self._limit_of_one, of_what, self._retry_after_s)
        self._taken[caller.key] += 1
        try:
            yield
        finally:
            self._taken[caller.key] -= 1
            if not self._taken[caller.key]:
                del self._taken[caller.key]


class Gateway:
    """The way to one Argus server. Close it, or use `with`."""

    def __init__(self, config: Config) -> None:
        self.config = config
        # Without retries: who waits for an answer is told at once, and asks again when it likes.
        self._client = ExportClient(
            config.server, tls=config.tls_to_server, insecure=config.server_insecure, retry_for_s=0
        )
        self._call_threads = ThreadPoolExecutor(_CALL_THREADS, thread_name_prefix="call")
        self._calls = Slots("max_calls", _MAX_CALLS, "requests at once", retry_after_s=1.0)
        self._health_thread = ThreadPoolExecutor(1, thread_name_prefix="health")
        self._health: asyncio.Future[bool] | None = None
        self.downloads = Slots("max_downloads", config.max_downloads, "downloads at once", retry_after_s=5.0)
        self.download_threads = ThreadPoolExecutor(config.max_downloads, thread_name_prefix="download")
        self.watched = WatchedDownloads()
        self.groupings = Slots("max_groupings", _MAX_CALLS, "groupings at once", retry_after_s=1.0)
        self.grouping_threads = ThreadPoolExecutor(_CALL_THREADS, thread_name_prefix="grouping")
        self.follows = Slots("max_follows", config.max_follows, "followers at once", retry_after_s=30.0)
        self.follow_threads = ThreadPoolExecutor(config.max_follows, thread_name_prefix="follow")
        self._asks_until_s = 0.0
        self._known = KnownCallers()
        self.is_stopping = asyncio.Event()
        """Set when the dashboard goes down: what has no end of its own ends."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()
        for threads in (
            self.download_threads,
            self.follow_threads,
            self.grouping_threads,
            self._call_threads,
            self._health_thread,
        ):
            threads.shutdown()

    async def call(self, caller: Caller, ask: Callable[[ExportClient], _Answer]) -> _Answer:
        """What `ask` returns, in a thread, about a client that speaks for the caller; raises what it raises,
        and a Problem as `_admit` and `serving` do."""
        with self.serving(caller):
            return await self._call(caller, ask)

    async def _call(self, caller: Caller, ask: Callable[[ExportClient], _Answer]) -> _Answer:
        await self._admit(caller)
        client = self._client.as_caller(caller.token)
        with self._calls.take(caller):
            try:
                answer = await asyncio.get_running_loop().run_in_executor(self._call_threads, ask, client)
            except NotSignedIn:
                raise
            except NotAllowed:
                self._known.add(caller)
                raise
        self._known.add(caller)
        return answer

    async def connect(self, caller: Caller) -> ExportClient:
        """A client that speaks for the caller on a connection of its own: one that is not read holds up no
        other. Raises as `_admit`."""
        await self._admit(caller)
        return self._client.apart(caller.token, retry_for_s=self.config.retry_for_s)

    async def make_sure(self, caller: Caller) -> None:
        """Asks the server whether it knows the caller, unless it did a few seconds ago: for before anything
        is set aside for them. Raises NotSignedIn, LimitExceeded, and a Problem as `_admit`."""
        if caller in self._known:
            return
        try:
            await self._call(caller, ExportClient.columns)
        except NotSignedIn:
            raise
        except (NotAllowed, ServerError, ServerUnavailable):
            # It is somebody's, whose role has no columns. Or nobody can be served now: a connection of the
            # request's own, which does not wait as the shared one does, will say so.
            pass

    def is_known(self, caller: Caller) -> bool:
        """Whether the server took the caller: at sign-in, or a few seconds ago."""
        return caller.session is not None or caller in self._known

    @contextmanager
    def serving(self, caller: Caller) -> Iterator[None]:
        """Around what is asked of the server for a caller. What is wrong between the dashboard and its server
        is told in full to those alone whom the server knows; for others raises a Problem."""
        try:
            yield
        except NotSignedIn:
            self._known.discard(caller)
            raise
        except (ServerError, ServerUnavailable) as error:
            if not self.is_known(caller):
                raise tell_stranger(error) from error
            raise

    async def _admit(self, caller: Caller) -> None:
        """Raises a Problem: 401 for somebody without a token, where the server would take the dashboard's own
        certificate for who asks, or strangers can reach the dashboard; 403 where strangers can, and the
        server asks nobody who they are."""
        config = self.config
        if caller.token is None and (config.guards_strangers or config.server_tls_cert is not None):
            raise not_signed_in("sign in, or send Authorization: Bearer and a token of the Argus server")
        loop = asyncio.get_running_loop()
        # A server that knows the dashboard by its certificate does ask.
        if (
            not config.guards_strangers
            or config.server_tls_cert is not None
            or loop.time() < self._asks_until_s
        ):
            return
        try:
            await loop.run_in_executor(self._call_threads, self._client.columns)
        except NotSignedIn:
            self._asks_until_s = loop.time() + _ASKS_S
            return
        raise Problem(
            HTTPStatus.FORBIDDEN,
            "server-open",
            "this dashboard can be reached from other machines, but its Argus server asks nobody who they"
            " are; whoever runs them can give the server --tokens, or the dashboard --insecure",
        )

    async def is_server_reachable(self) -> bool:
        """Whether the server answers within five seconds. Those who ask meanwhile share the answer."""
        if self._health is None or self._health.done():
            loop = asyncio.get_running_loop()
            self._health = loop.run_in_executor(self._health_thread, self._answers)
        try:
            return await asyncio.wait_for(asyncio.shield(self._health), _HEALTH_TIMEOUT_S)
        except TimeoutError:
            return False

    def _answers(self) -> bool:
        try:
            return self._client.is_serving()
        except ArgusClientError:
            return False
