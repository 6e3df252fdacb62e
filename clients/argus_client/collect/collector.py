"""Receives in one thread and sends in another, until it is stopped or one of them fails."""

import threading
from collections.abc import Callable
from typing import NoReturn, Protocol, Self

from argus_client.collect.sender import Sender

DRAIN_S = 10.0
"""For how long, at the end, what waits in the spool is still sent."""

_TICK_S = 0.25


class Receiver(Protocol):
    """Where events come from."""

    def run(self, stopped: threading.Event) -> None:
        """Receives, until the event is set. May raise what it cannot go on after."""


class Collector:
    """Runs a receiver and a sender while its `with` block runs.

    Leaving the block stops receiving, and sends what waits as long as the server takes it, up to
    DRAIN_S.
    """

    def __init__(self, receiver: Receiver, sender: Sender) -> None:
        self._stopped = threading.Event()
        self._failed = threading.Event()
        self._errors: list[BaseException] = []
        self._sender = sender
        self._receiving = self._thread("receive", lambda: receiver.run(self._stopped))
        self._sending = self._thread("send", sender.run)

    def __enter__(self) -> Self:
        self._receiving.start()
        self._sending.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._receiving.join()
        self._sender.stop(DRAIN_S)
        self._sending.join(DRAIN_S)

    def wait(self, on_tick: Callable[[], None]) -> NoReturn:
        """Calls on_tick a few times a second. Raises what one of the two failed with."""
        while not self._failed.wait(_TICK_S):
            on_tick()
        raise self._errors[0]

    def _thread(self, name: str, call: Callable[[], None]) -> threading.Thread:
        def run() -> None:
            try:
                call()
            except BaseException as error:
                self._errors.append(error)
                self._failed.set()

        return threading.Thread(target=run, name=f"argus-collect-{name}", daemon=True)
