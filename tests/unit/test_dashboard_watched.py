"""What a page is told of a download: how each ended, and for how long it is known."""

import asyncio
from collections.abc import Callable
from contextlib import ExitStack

import pytest

from argus_dashboard.callers import NOBODY, Caller
from argus_dashboard.problems import limit_reached
from argus_dashboard.streaming import AnswerBroken
from argus_dashboard.watched import KEPT_S, MAX_KEPT, MAX_KEPT_OF_ONE, WatchedDownloads


def download(downloads: WatchedDownloads, id: str, end: BaseException | None = None) -> None:
    """One that is whole, or ends with this error."""
    with downloads.watching(NOBODY, id) as watched:
        assert downloads.get(NOBODY, id).state == "running"
        if end is not None:
            raise end
        watched.complete()


@pytest.mark.parametrize(
    ("make_end", "state", "reason"),
    [
        (lambda: AnswerBroken("the server went away"), "broken", "the server went away"),
        (lambda: AnswerBroken(""), "broken", None),
        (lambda: limit_reached("max_downloads", 16, "downloads at once", 5.0), "refused", "max_downloads: "),
        (lambda: asyncio.CancelledError(), "cancelled", None),
    ],
)
def test_how_it_ended_is_told(make_end: Callable[[], BaseException], state: str, reason: str | None) -> None:
    downloads = WatchedDownloads()
    end = make_end()
    with pytest.raises(type(end)):
        download(downloads, "a", end)
    told = downloads.get(NOBODY, "a")
    assert told.state == state
    assert (told.reason or "").startswith(reason or "")
    assert (told.reason is None) == (reason is None)


def test_one_that_ends_without_all_having_been_sent_was_called_off() -> None:
    downloads = WatchedDownloads()
    with downloads.watching(NOBODY, "a"):
        pass
    assert downloads.get(NOBODY, "a").state == "cancelled"
    download(downloads, "a")
    assert downloads.get(NOBODY, "a").state == "whole"


def test_it_is_forgotten_after_a_while_but_not_while_it_runs() -> None:
    now_s = 0.0
    downloads = WatchedDownloads(lambda: now_s)
    download(downloads, "early")
    with downloads.watching(NOBODY, "long"):
        now_s = KEPT_S
        assert downloads.get(NOBODY, "early").state == "whole"
        now_s = 2 * KEPT_S
        assert downloads.get(NOBODY, "early").state == "unknown"
        assert downloads.get(NOBODY, "long").state == "running"


def test_a_callers_are_bounded_and_the_oldest_that_ended_go() -> None:
    downloads = WatchedDownloads(lambda: 0.0)
    with downloads.watching(NOBODY, "running"):
        for number in range(MAX_KEPT_OF_ONE):
            download(downloads, f"{number}")
        assert downloads.get(NOBODY, "running").state == "running"
        assert downloads.get(NOBODY, "0").state == "unknown"
        assert downloads.get(NOBODY, "1").state == "whole"


def test_one_who_has_many_puts_out_nobody_elses() -> None:
    downloads = WatchedDownloads(lambda: 0.0)
    mine = Caller("token")
    with downloads.watching(mine, "a") as watched:
        watched.complete()
    for number in range(2 * MAX_KEPT):
        download(downloads, f"{number}")
    assert downloads.get(mine, "a").state == "whole"


def test_those_of_all_are_bounded_too_whatever_they_do() -> None:
    downloads = WatchedDownloads(lambda: 0.0)
    with ExitStack() as stack:
        for number in range(MAX_KEPT + 10):
            stack.enter_context(downloads.watching(Caller(f"token-{number}"), "a"))
    assert len(downloads._by_id) == MAX_KEPT


def test_nobody_asks_for_one_without_an_id() -> None:
    downloads = WatchedDownloads()
    with downloads.watching(NOBODY, None) as watched:
        watched.complete()
    assert watched.state == "whole"


def test_one_persons_is_not_told_to_another_nor_ended_by_one() -> None:
    downloads = WatchedDownloads()
    mine, others = Caller("token-1"), Caller("token-2")
    with downloads.watching(mine, "a") as watched:
        watched.complete()
    for stranger in (others, NOBODY):
        assert downloads.get(stranger, "a").state == "unknown"
        with downloads.watching(stranger, "a"):
            pass
        assert downloads.get(stranger, "a").state == "cancelled"
        assert downloads.get(mine, "a").state == "whole"
