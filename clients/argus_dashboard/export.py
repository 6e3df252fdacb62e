"""GET /export: the matching events as a file."""

import asyncio
import json
import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime

import structlog
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from argus_client import ArgusClientError
from argus_client.formats import FORMATS, RenderOptions, make_renderer
from argus_client.rendering import DEFAULT_FORMAT, FileForm
from argus_client.times import INT64_MAX, format_instant
from argus_dashboard.download import Download, ExportRequest
from argus_dashboard.gateway import Gateway
from argus_dashboard.handover import Handover
from argus_dashboard.negotiation import ContentCoding, content_coding
from argus_dashboard.parameters import Parameter, Values, choice, flag, parse_query, whole_number
from argus_dashboard.query_parameters import COLUMNS_PARAMETER, QUERY_PARAMETERS, event_query
from argus_dashboard.streaming import StreamedAnswer, unless_gone
from argus_dashboard.watched import DOWNLOAD_ID_PARAMETER, Watched

MEDIA_TYPES: Mapping[str, str] = {
    "csv": "text/csv; charset=utf-8",
    "json": "application/json",
    "jsonl": "application/x-ndjson",
    "parquet": "application/vnd.apache.parquet",
    "arrow": "application/vnd.apache.arrow.file",
}
COMPRESSED_MEDIA_TYPES: Mapping[str, str] = {"gzip": "application/gzip", "zstd": "application/zstd"}
_COMPRESSION_ENDINGS: Mapping[str, str] = {"none": "", "gzip": ".gz", "zstd": ".zst"}

EXPORT_PARAMETERS = (
    Parameter(
        "format",
        **choice(*FORMATS),
        description="The file's format.",
        default=DEFAULT_FORMAT,
    ),
    *QUERY_PARAMETERS,
    COLUMNS_PARAMETER,
    Parameter(
        "limit",
        **whole_number(1, INT64_MAX),
        description="At most so many events. X-Argus-Completeness and X-Argus-Rows-Remaining say whether "
        "that cuts.",
        field="limit",
    ),
    Parameter(
        "order",
        **choice("time", "arrival"),
        description="By timestamp, or as they came in.",
        default="time",
        field="order",
    ),
    Parameter(
        "metadata",
        **flag(),
        description="csv and jsonl: begin with what the export is (# lines, a _metadata line). json always "
        "has it, and so do the X-Argus-* headers.",
    ),
    Parameter(
        "header",
        **choice("names", "titles"),
        description='csv: column names, or titles such as "Duration (ns)".',
        default="names",
    ),
    Parameter(
        "time_precision",
        **choice("auto", "s", "ms", "us", "ns"),
        description="How fine timestamps are; auto is as fine as each needs.",
        default="auto",
    ),
    Parameter(
        "excel",
        **flag(),
        description="csv: made for Excel: byte order mark, CRLF, and a ' before text that it would run as a "
        "formula.",
    ),
    Parameter(
        "compress",
        **choice("none", "gzip", "zstd"),
        description="gzip and zstd: a compressed file. Without it the file is not, but its way here is where "
        "Accept-Encoding takes gzip.",
        default="none",
    ),
    DOWNLOAD_ID_PARAMETER,
)

# Only text of the user's has any, which is JSON: there the escapes mean the same.
_NOT_ASCII = re.compile("[^\x20-\x7e]+")

_log = structlog.get_logger()


class ExportEndpoint:
    """GET and HEAD /export."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        gateway: Gateway = request.app.state.gateway
        values = parse_query(scope["query_string"], EXPORT_PARAMETERS)
        export_request = _export_request(values)
        # A file that is compressed already is the same to all.
        is_compressed = export_request.form.compression != "none"
        coding = "identity" if is_compressed else content_coding(request.headers.getlist("accept-encoding"))
        headers = _headers(values, export_request.form, coding)
        with (
            gateway.watched.watching(values["download_id"]) as watched,
            gateway.downloads.take(),
            values.naming_violations(),
        ):
            answer = StreamedAnswer(scope, send, gateway.config.stall_timeout_s)
            work = _download(gateway, request, export_request, coding, headers, answer, watched)
            await unless_gone(receive, work)


async def _download(
    gateway: Gateway,
    request: Request,
    export_request: ExportRequest,
    coding: ContentCoding,
    headers: dict[str, str],
    answer: StreamedAnswer,
    watched: Watched,
) -> None:
    handover = Handover()
    download = Download(
        gateway.config.server,
        export_request,
        coding,
        handover.put,
        retry_for_s=gateway.config.retry_for_s,
        on_retry=_log_retry,
    )
    produce = download.run_head if request.method == "HEAD" else download.run
    started_s = time.monotonic()
    outcome = "the reader went away"
    try:
        with handover.produced_by(gateway.download_threads, produce, download.close) as chunks:
            first = await anext(chunks)
            watched.begin(download)
            await answer.begin(headers | _metadata_headers(download))
            await answer.send_chunk(first)
            await answer.send(chunks)
            await answer.end()
        watched.complete()
        outcome = "whole"
    except Exception as error:
        outcome = "the reader stalled" if isinstance(error, TimeoutError) else str(error)
        if not answer.has_begun:
            raise
        if not isinstance(error, ArgusClientError | TimeoutError):
            _log.exception("download failed", query=request.url.query)
        raise answer.break_off(error) from error
    except asyncio.CancelledError as error:
        if answer.has_begun:
            answer.break_off(error)
        raise
    finally:
        _log.info(
            "download",
            query=request.url.query,
            outcome=outcome,
            events=download.events,
            bytes=answer.bytes_sent,
            seconds=round(time.monotonic() - started_s, 3),
        )


def _export_request(values: Values) -> ExportRequest:
    options = RenderOptions(
        header=values["header"],
        time_precision=values["time_precision"],
        excel=values["excel"],
        metadata=values["metadata"],
    )
    try:
        make_renderer(values["format"], options)
    except ValueError as error:
        # It begins with the option's name, as the parameter's.
        name, _, message = str(error).partition(": ")
        raise values.refused(name, message) from None
    return ExportRequest(
        query=event_query(values),
        columns=values["columns"],
        limit=values["limit"],
        order=values["order"],
        form=FileForm(values["format"], values["compress"], options),
    )


def _headers(values: Values, form: FileForm, coding: ContentCoding) -> dict[str, str]:
    day = format_instant(values["from"])[:10] if values["from"] is not None else f"{datetime.now(UTC):%F}"
    ending = form.format + _COMPRESSION_ENDINGS[form.compression]
    headers = {
        "Content-Type": COMPRESSED_MEDIA_TYPES.get(form.compression, MEDIA_TYPES[form.format]),
        "Content-Disposition": f'attachment; filename="argus-export-{day}.{ending}"',
        "Cache-Control": "no-store",
    }
    if form.compression == "none":
        headers["Vary"] = "Accept-Encoding"
    if coding != "identity":
        headers["Content-Encoding"] = coding
    return headers


def _metadata_headers(download: Download) -> dict[str, str]:
    return {
        f"X-Argus-{key.replace('_', '-').title()}": _NOT_ASCII.sub(_json_escape, value)
        for key, value in download.metadata.items()
    }


def _json_escape(found: re.Match[str]) -> str:
    return json.dumps(found[0])[1:-1]


def _log_retry(attempt: int, wait_s: float, error: ArgusClientError) -> None:
    _log.warning("download waits for the server", attempt=attempt, wait_s=round(wait_s, 1), error=str(error))
