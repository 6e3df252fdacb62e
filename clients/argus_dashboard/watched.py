"""What becomes of a download that a page watches: GET /api/download.

A page hands a download to the browser, which streams it to disk and tells the page nothing of it. So the
page names it (download_id), and asks the one who sends the bytes.
"""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Literal

from starlette.requests import Request
from starlette.responses import Response

from argus_client import ArgusClientError
from argus_dashboard.answers import json_answer
from argus_dashboard.callers import Caller, caller_of
from argus_dashboard.download import Download
from argus_dashboard.parameters import Parameter, parse_query, shown
from argus_dashboard.problems import not_signed_in
from argus_dashboard.streaming import AnswerBroken

MAX_KEPT = 1_024
MAX_KEPT_OF_ONE = 64
KEPT_S = 600.0

_ID = re.compile(r"[A-Za-z0-9_-]{8,64}")

State = Literal["unknown", "running", "whole", "refused", "broken", "cancelled"]


def _parse_id(text: str) -> str:
    if not _ID.fullmatch(text):
        raise ValueError(f"{shown(text)} is not allowed; allowed: 8 to 64 letters, digits, - and _")
    return text


DOWNLOAD_ID_PARAMETER = Parameter(
    "download_id",
    _parse_id,
    "A name, new and not to be guessed, under which GET /api/download tells what becomes of the download.",
    {"type": "string", "pattern": f"^{_ID.pattern}$"},
)


@dataclass
class Watched:
    """One download, as far as it is.

    reason: why it was refused, broke, or waits. total_events: None until its answer has begun. size_bytes:
    of the file, whatever the way's coding.
    """

    state: State = "running"
    reason: str | None = None
    rows: int = 0
    total_events: int | None = None
    size_bytes: int = 0
    ended_s: float | None = None
    _download: Download | None = None

    def begin(self, download: Download) -> None:
        """Its answer begins."""
        self.total_events = download.total_events
        self._download = download

    def complete(self) -> None:
        """All of it has been sent."""
        self.state = "whole"

    def wait(self, error: ArgusClientError) -> None:
        """It waits until the server can be asked again."""
        self.reason = f"waiting for the server: {error}"

    def update(self) -> None:
        """Takes over how far the download is."""
        if self._download is not None:
            if self._download.rows > self.rows:
                self.reason = None
            self.rows, self.size_bytes = self._download.rows, self._download.size_bytes

    def end(self, now_s: float, state: State, reason: str | None = None) -> None:
        """Nothing more comes of it."""
        self.update()
        self._download = None
        self.state, self.reason, self.ended_s = state, reason, now_s


class WatchedDownloads:
    """Those under way, and those that ended in the last ten minutes: MAX_KEPT at most, and MAX_KEPT_OF_ONE of
    one caller's; beyond, that caller's oldest go first, those under way last. For the event loop's thread
    only."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._by_id: dict[tuple[bytes, str], Watched] = {}

    @contextmanager
    def watching(self, caller: Caller, id: str | None) -> Iterator[Watched]:
        """Around all that a download is; None: nobody asks for it. An id that this caller gave before begins
        anew: a browser tries again under the same."""
        watched = Watched()
        if id is not None:
            self._by_id.pop((caller.key, id), None)
            self._make_room(caller)
            self._by_id[caller.key, id] = watched
        try:
            yield watched
        except AnswerBroken as error:
            watched.end(self._clock(), "broken", str(error) or None)
            raise
        except Exception as error:
            watched.end(self._clock(), "refused", str(error))
            raise
        finally:
            if watched.ended_s is None:
                # What a reader calls off by going away raises nothing here.
                watched.end(self._clock(), "whole" if watched.state == "whole" else "cancelled")

    def get(self, caller: Caller, id: str) -> Watched:
        """The caller's download of that id, as far as it is now; an unknown one has not been asked for, is
        forgotten, or is another's."""
        self._forget_old()
        watched = self._by_id.get((caller.key, id), Watched("unknown"))
        watched.update()
        return watched

    def _forget_old(self) -> None:
        oldest_s = self._clock() - KEPT_S
        for key, watched in list(self._by_id.items()):
            if watched.ended_s is not None and watched.ended_s < oldest_s:
                del self._by_id[key]

    def _make_room(self, caller: Caller) -> None:
        self._forget_old()
        own = [key for key in self._by_id if key[0] == caller.key]
        if len(own) >= MAX_KEPT_OF_ONE:
            del self._by_id[self._least_needed(own)]
        elif len(self._by_id) >= MAX_KEPT:
            del self._by_id[self._least_needed(own or list(self._by_id))]

    def _least_needed(self, keys: list[tuple[bytes, str]]) -> tuple[bytes, str]:
        return min(keys, key=lambda key: self._by_id[key].ended_s is None)


DOWNLOAD_PARAMETERS = (replace(DOWNLOAD_ID_PARAMETER, is_required=True),)


async def download(request: Request) -> Response:
    """GET /api/download: how far a download is, and how it ended."""
    values = parse_query(request.scope["query_string"], DOWNLOAD_PARAMETERS)
    downloads: WatchedDownloads = request.app.state.gateway.watched
    caller = caller_of(request)
    if caller.was_signed_in:
        # What it asks for is nobody's now: it would wait for ever.
        raise not_signed_in("the session has ended; sign in again")
    watched = downloads.get(caller, values["download_id"])
    return json_answer(
        request,
        {
            "state": watched.state,
            "reason": watched.reason,
            "rows": watched.rows,
            "totalEvents": watched.total_events,
            "bytes": watched.size_bytes,
        },
    )
