"""Calls made beside the caller's own work: in order, bounded, and none after one that failed."""

import threading

import pytest

from argus_client.background import Background


class Interrupted(BaseException):
    """Stands for what is not an Exception, such as KeyboardInterrupt."""


def test_calls_are_made_in_order_in_another_thread() -> None:
    made: list[tuple[int, bool]] = []
    here = threading.get_ident()
    with Background(2) as background:
        for number in range(100):
            background.do(lambda number: made.append((number, threading.get_ident() != here)), number)
        background.finish()
        assert made == [(number, True) for number in range(100)]


def test_no_thread_is_left_behind() -> None:
    before = threading.active_count()
    with Background(1) as background:
        background.do(lambda: None)
    assert threading.active_count() == before


@pytest.mark.parametrize("error", [ValueError("broken"), Interrupted()])
def test_what_a_call_raised_comes_out_and_no_later_call_is_made(error: BaseException) -> None:
    made: list[str] = []
    has_failed = threading.Event()

    def fail() -> None:
        has_failed.set()
        raise error

    def give() -> None:
        with Background(8) as background:
            background.do(fail)
            background.do(made.append, "after it")
            has_failed.wait()
            background.do(made.append, "later still")
            background.finish()

    with pytest.raises(type(error)) as caught:
        give()
    assert caught.value is error
    assert made == []


def test_only_so_many_calls_wait() -> None:
    given, waiting = [0], list[int]()
    with Background(3) as background:
        for _ in range(1000):
            # The one under way, those that wait, and the one that is just being given.
            background.do(lambda: waiting.append(given[0] - len(waiting)))
            given[0] += 1
        background.finish()
    assert len(waiting) == 1000
    assert max(waiting) <= 3


def test_an_error_of_the_callers_own_leaves_what_was_given_done() -> None:
    made: list[int] = []

    def give() -> None:
        with Background(8) as background:
            for number in range(5):
                background.do(made.append, number)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        give()
    assert made == list(range(5))
