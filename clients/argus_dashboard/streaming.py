"""Answers that are sent as they are made."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Mapping
from http import HTTPStatus
from typing import Any

from starlette.types import Receive, Scope, Send

from argus_dashboard.handover import Chunk

RESET = "argus.reset"
"""The key of a request's scope["extensions"] under which a function drops its connection at once."""


class AnswerBroken(Exception):
    """An answer that has begun cannot go on; the server then closes the connection without its end."""


async def unless_gone(receive: Receive, work: Coroutine[Any, Any, None]) -> None:
    """Does the work, and calls it off when the client goes away."""
    doing = asyncio.ensure_future(work)
    watching = asyncio.ensure_future(_until_gone(receive))
    try:
        await asyncio.wait((doing, watching), return_when=asyncio.FIRST_COMPLETED)
        if doing.done():
            doing.result()
    finally:
        for task in (doing, watching):
            task.cancel()
        await asyncio.gather(doing, watching, return_exceptions=True)


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


class StreamedAnswer:
    """One answer of which the length is not known beforehand.

    stall_timeout_s: how long a client may take nothing before its connection is dropped.
    """

    def __init__(self, scope: Scope, send: Send, stall_timeout_s: float) -> None:
        self._scope = scope
        self._send_message = send
        self._stall_timeout_s = stall_timeout_s
        self.has_begun = False
        self.bytes_sent = 0

    async def begin(self, headers: Mapping[str, str]) -> None:
        """Sends 200 with these headers, whose values are Latin-1."""
        encoded = [(name.lower().encode("ascii"), value.encode("latin-1")) for name, value in headers.items()]
        self.has_begun = True
        await self._send({"type": "http.response.start", "status": int(HTTPStatus.OK), "headers": encoded})

    async def send(self, chunks: AsyncIterator[Chunk]) -> None:
        """Sends chunks as fast as the client takes them."""
        async for chunk in chunks:
            await self.send_chunk(chunk)

    async def send_chunk(self, chunk: Chunk) -> None:
        """Sends one chunk, once the client has taken those before it."""
        if chunk:
            await self._send({"type": "http.response.body", "body": chunk, "more_body": True})
            self.bytes_sent += len(chunk)

    async def end(self) -> None:
        """Says that the answer is whole."""
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    def break_off(self, error: BaseException) -> AnswerBroken:
        """Has the client see that the answer is not whole; to be raised.

        HTTP/1.1 tells it by the last chunk that does not come (RFC 9112, section 8). HTTP/1.0 has no
        chunks: there the connection's end is the answer's, unless it is reset.
        """
        if isinstance(error, TimeoutError) or self._scope["http_version"] == "1.0":
            self._scope["extensions"][RESET]()
        return AnswerBroken(str(error))

    async def _send(self, message: dict[str, Any]) -> None:
        async with asyncio.timeout(self._stall_timeout_s):
            await self._send_message(message)
