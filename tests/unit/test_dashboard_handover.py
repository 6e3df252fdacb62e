"""Chunks from a thread to the event loop: in order, a few at a time, and nobody waits for ever."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from argus_dashboard.handover import Handover, ReaderGone


def test_chunks_come_in_order_and_then_the_error() -> None:
    async def read() -> list[bytes]:
        handover = Handover()

        def produce() -> None:
            for number in range(100):
                handover.put(b"%d" % number)
            raise ValueError("the end")

        with (
            ThreadPoolExecutor() as threads,
            handover.produced_by(threads, produce, lambda: None) as chunks,
        ):
            taken = [bytes(await anext(chunks)) for _ in range(100)]
            with pytest.raises(ValueError, match="the end"):
                await anext(chunks)
        return taken

    assert asyncio.run(read()) == [b"%d" % number for number in range(100)]


def test_the_thread_waits_for_the_reader_and_is_let_go_with_it() -> None:
    puts: list[int] = []
    ended: list[BaseException] = []
    has_stopped = threading.Event()

    async def read() -> None:
        handover = Handover()

        def produce() -> None:
            try:
                for number in range(1_000):
                    handover.put(b"x")
                    puts.append(number)
            except ReaderGone as error:
                ended.append(error)
                raise

        # The pool is left last, and waits for its thread.
        with (
            ThreadPoolExecutor() as threads,
            handover.produced_by(threads, produce, has_stopped.set) as chunks,
        ):
            for _ in range(10):
                assert await anext(chunks) == b"x"

    asyncio.run(read())
    assert has_stopped.is_set()
    assert len(ended) == 1
    # Those taken, one that waits, and at most one that was let through at the end.
    assert 10 <= len(puts) <= 12
