"""What the requests share: the client, threads, and how many of them there may be."""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http import HTTPStatus
from typing import Self, TypeVar

from argus_client import ArgusClientError, ExportClient, NotSignedIn
from argus_dashboard.callers import NOBODY, Caller
from argus_dashboard.config import Config
from argus_dashboard.problems import Problem, limit_reached, not_signed_in
from argus_dashboard.watched import WatchedDownloads

_CALL_THREADS = 16
_MAX_CALLS = 128
_HEALTH_TIMEOUT_S = 5.0
# How long it holds that the server asked who calls.
_ASKS_S = 60.0

_Answer = TypeVar("_Answer")


class Slots:
    """How many of something may run at once. For the event loop's thread only.

    limit_name, of_what: how a refusal names it: "max_downloads", "downloads at once".
    """

    def __init__(self, limit_name: str, limit: int, of_what: str, retry_after_s: float) -> None:
        self._limit_name, self._limit, self._of_what = limit_name, limit, of_what
        self._retry_after_s = retry_after_s
        self.taken = 0

    @contextmanager
    def take(self) -> Iterator[None]:
        """Raises a Problem, 429, when none is free."""
        if self.taken >= self._limit:
            raise limit_reached(self._limit_name, self._limit, self._of_what, self._retry_after_s)
        self.taken += 1
        try:
            yield
        finally:
            self.taken -= 1


class Gateway:
    """The way to one Argus server. Close it, or use `with`."""

    def __init__(self, config: Config) -> None:
        self.config = config
        # Without retries: who waits for an answer is told at once, and asks again when it likes.
        self._client = self._open(NOBODY, retry_for_s=0)
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
        and a Problem, 401 or 403, as `_admit` does."""
        await self._admit(caller)
        client = self._client.as_caller(caller.token)
        with self._calls.take():
            return await asyncio.get_running_loop().run_in_executor(self._call_threads, ask, client)

    async def connect(self, caller: Caller) -> ExportClient:
        """A client that speaks for the caller on a connection of its own: one that is not read holds up no
        other. Raises as `_admit`."""
        await self._admit(caller)
        return self._open(caller, retry_for_s=self.config.retry_for_s)

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

    def _open(self, caller: Caller, *, retry_for_s: float) -> ExportClient:
        return ExportClient(
            self.config.server,
            token=caller.token,
            tls=self.config.tls_to_server,
            insecure=self.config.server_insecure,
            retry_for_s=retry_for_s,
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
