"""Looks, again and again, at what changes without telling."""

import threading
from collections.abc import Callable, Sequence

import structlog

_log = structlog.get_logger()


class Looking:
    """Calls each of `looks` every `interval_s` seconds, in a thread of its own. Close it, which ends that."""

    def __init__(self, name: str, interval_s: float, looks: Sequence[Callable[[], None]]) -> None:
        self._interval_s = interval_s
        self._looks = looks
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._closed.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._closed.wait(self._interval_s):
            for look in self._looks:
                try:
                    look()
                except Exception:
                    # The others go on, and so does this one the next time.
                    _log.exception("look_failed")
