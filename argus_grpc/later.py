"""What comes later, so that no thread has to wait for it."""

from collections.abc import Callable
from concurrent.futures import Future
from contextvars import copy_context
from typing import TypeVar

_First = TypeVar("_First")
_Made = TypeVar("_Made")


def then(first: "Future[_First]", make: "Callable[[Future[_First]], _Made]") -> "Future[_Made]":
    """What `make` returns or raises when the first is done: it is called by the thread that ends that, with
    the context variables of the one that calls then()."""
    made: Future[_Made] = Future()

    def end(done: "Future[_First]") -> None:
        try:
            made.set_result(make(done))
        except Exception as error:
            made.set_exception(error)

    context = copy_context()
    first.add_done_callback(lambda done: context.run(end, done))
    return made
