"""An export, or groups of events, sent as a file while it is made."""

import asyncio
import json
import re
import time
from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial

import structlog
from starlette.requests import Request
from starlette.types import Receive, Send

from argus_client import ArgusClientError
from argus_client.formats import FORMATS, RenderOptions, make_renderer
from argus_client.rendering import FileForm
from argus_client.times import format_instant
from argus_dashboard.callers import caller_of
from argus_dashboard.download import Download, FileRequest
from argus_dashboard.gateway import Gateway, Slots
from argus_dashboard.handover import Handover
from argus_dashboard.negotiation import ContentCoding, content_coding
from argus_dashboard.parameters import Values
from argus_dashboard.streaming import StreamedAnswer, unless_gone
from argus_dashboard.watched import Watched

_MEDIA_TYPES: Mapping[str, str] = {
    "csv": "text/csv; charset=utf-8",
    "json": "application/json",
    "jsonl": "application/x-ndjson",
    "parquet": "application/vnd.apache.parquet",
    "arrow": "application/vnd.apache.arrow.file",
}
_COMPRESSED_INSIDE = frozenset({"parquet"})
_COMPRESSED_MEDIA_TYPES: Mapping[str, str] = {"gzip": "application/gzip", "zstd": "application/zstd"}
_COMPRESSION_ENDINGS: Mapping[str, str] = {"none": "", "gzip": ".gz", "zstd": ".zst"}

MEDIA_TYPES = (*(_MEDIA_TYPES[name] for name in FORMATS), *_COMPRESSED_MEDIA_TYPES.values())
"""All that a file may be."""

# Only text of the user's has any, which is JSON: there the escapes mean the same.
_NOT_ASCII = re.compile("[^\x20-\x7e]+")

_log = structlog.get_logger()


@dataclass(frozen=True)
class Way:
    """How a file is sent: what bounds the number at once, who makes it, what is said of it, and who is
    told how far it is."""

    slots: Slots
    threads: Executor
    headers: Mapping[str, str]
    watched: Watched = field(default_factory=Watched)


async def send_file(request: Request, receive: Receive, send: Send, file: FileRequest, way: Way) -> None:
    """Answers with the file, unless the client goes away, which calls it off at the server too.

    200 is sent once all is checked and the first rows are there. Before that, raises a Problem or an
    ArgusClientError; after, AnswerBroken.
    """
    accepted = request.headers.getlist("accept-encoding")
    coding = "identity" if _is_compressed(file.form) else content_coding(accepted)
    gateway: Gateway = request.app.state.gateway
    caller = caller_of(request)
    with gateway.serving(caller):
        await gateway.make_sure(caller)
        with way.slots.take(caller):
            await unless_gone(receive, _send(request, send, file, way, coding))


async def _send(request: Request, send: Send, file: FileRequest, way: Way, coding: ContentCoding) -> None:
    gateway: Gateway = request.app.state.gateway
    answer = StreamedAnswer(request.scope, send, gateway.config.stall_timeout_s)
    handover = Handover()
    client = await gateway.connect(caller_of(request))
    download = Download(client, file, coding, handover.put, partial(_tell_retry, way.watched))
    produce = download.run_head if request.method == "HEAD" else download.run
    started_s = time.monotonic()
    outcome = "the reader went away"
    try:
        with handover.produced_by(way.threads, produce, download.close) as chunks:
            first = await anext(chunks)
            way.watched.begin(download)
            await answer.begin(_all_headers(way.headers, coding, download))
            await answer.send_chunk(first)
            await answer.send(chunks)
            await answer.end()
        way.watched.complete()
        outcome = "whole"
    except Exception as error:
        outcome = "the reader stalled" if isinstance(error, TimeoutError) else str(error)
        if not answer.has_begun:
            raise
        if not isinstance(error, ArgusClientError | TimeoutError):
            _log.exception("sending a file failed", query=request.url.query)
        raise answer.break_off(error) from error
    except asyncio.CancelledError as error:
        if answer.has_begun:
            answer.break_off(error)
        raise
    finally:
        _log.info(
            "file answered",
            query=request.url.query,
            outcome=outcome,
            path=request.url.path,
            rows=download.rows,
            bytes=answer.bytes_sent,
            seconds=round(time.monotonic() - started_s, 3),
        )


def file_form(values: Values) -> FileForm:
    """How the file is written. Raises a Problem for values that do not go together."""
    try:
        options = RenderOptions(
            header=values["header"],
            time_precision=values["time_precision"],
            excel=values["excel"],
            metadata=values["metadata"],
        )
        make_renderer(values["format"], options)
        return FileForm(values["format"], values["compress"], options)
    except ValueError as error:
        # It begins with the option's name, which is the parameter's.
        name, _, message = str(error).partition(": ")
        raise values.refused(name, message) from None


def file_headers(name: str, values: Values, form: FileForm) -> dict[str, str]:
    """What is said of a file of that name before it is begun."""
    day = format_instant(values["from"])[:10] if values["from"] is not None else f"{datetime.now(UTC):%F}"
    ending = form.format + _COMPRESSION_ENDINGS[form.compression]
    headers = {
        "Content-Type": _COMPRESSED_MEDIA_TYPES.get(form.compression, _MEDIA_TYPES[form.format]),
        "Content-Disposition": f'attachment; filename="argus-{name}-{day}.{ending}"',
    }
    if not _is_compressed(form):
        headers["Vary"] = "Accept-Encoding"
    return headers


def _is_compressed(form: FileForm) -> bool:
    """Whether the file is compressed already, and so is the same to all, whatever they accept."""
    return form.compression != "none" or form.format in _COMPRESSED_INSIDE


def _all_headers(headers: Mapping[str, str], coding: ContentCoding, download: Download) -> dict[str, str]:
    return {
        **headers,
        **({} if coding == "identity" else {"Content-Encoding": coding}),
        **{
            f"X-Argus-{key.replace('_', '-').title()}": _NOT_ASCII.sub(_json_escape, value)
            for key, value in download.metadata.items()
        },
    }


def _json_escape(found: re.Match[str]) -> str:
    return json.dumps(found[0])[1:-1]


def _tell_retry(watched: Watched, attempt: int, wait_s: float, error: ArgusClientError) -> None:
    watched.wait(error)
    _log.warning("a file waits for the server", attempt=attempt, wait_s=round(wait_s, 1), error=str(error))
