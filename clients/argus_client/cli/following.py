"""Ctrl-C and SIGTERM while an export is followed: the way to end it whole."""

import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from argus_client.export import Export


@contextmanager
def ending_by_signal(export: Export) -> Iterator[None]:
    """Within it the first SIGINT or SIGTERM ends the export whole, once it is live; any other interrupts,
    as KeyboardInterrupt. For the main thread."""
    # A handler runs in the middle of anything, so it may take no lock: it leaves a byte to a thread.
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    is_ending = False

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal is_ending
        if is_ending or not export.is_live:
            signal.default_int_handler(number, frame)
        is_ending = True
        writer.send(b"\0")

    def wait() -> None:
        if reader.recv(1):
            export.end_following()

    waiting = threading.Thread(target=wait, name="end-following", daemon=True)
    earlier = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    with reader, writer:
        waiting.start()
        try:
            for number in earlier:
                signal.signal(number, handle)
            yield
        finally:
            for number, handler in earlier.items():
                signal.signal(number, handler)
            writer.close()
            waiting.join()
