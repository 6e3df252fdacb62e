"""Chunks of bytes from a thread to the event loop: a few at a time, so that neither runs ahead."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from typing import TypeAlias

Chunk: TypeAlias = bytes | memoryview

_MAX_WAITING = 1


class ReaderGone(Exception):
    """Whoever was to take the chunks does not any more."""


class Handover:
    """What a producer in a thread puts, and the event loop takes. Made and read in the loop's thread."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiting: asyncio.Queue[Chunk | BaseException | None] = asyncio.Queue()
        self._free = threading.Semaphore(_MAX_WAITING)
        self._is_closed = False

    def put(self, chunk: Chunk) -> None:
        """In the thread: waits for room. Raises ReaderGone."""
        self._free.acquire()
        if self._is_closed:
            raise ReaderGone
        self._loop.call_soon_threadsafe(self._waiting.put_nowait, chunk)

    @contextmanager
    def produced_by(
        self, threads: Executor, produce: Callable[[], None], stop: Callable[[], None]
    ) -> Iterator[AsyncIterator[Chunk]]:
        """Has `produce` put chunks in a thread, and gives them. What it raises, the iterator raises after the
        chunks that came before.

        stop: called when the block is left, in the loop's thread, to have `produce` end.
        """
        threads.submit(self._run, produce)
        try:
            yield self._chunks()
        finally:
            self._is_closed = True
            self._free.release()
            stop()

    async def _chunks(self) -> AsyncIterator[Chunk]:
        while (item := await self._waiting.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            self._free.release()
            yield item

    def _run(self, produce: Callable[[], None]) -> None:
        end: BaseException | None = None
        try:
            produce()
        except BaseException as error:
            end = error
        if not self._is_closed:
            self._loop.call_soon_threadsafe(self._waiting.put_nowait, end)
