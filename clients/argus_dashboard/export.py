"""GET /export: the matching events as a file."""

from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from argus_client.formats import FORMATS
from argus_client.rendering import DEFAULT_FORMAT
from argus_client.times import INT64_MAX
from argus_dashboard.callers import caller_of
from argus_dashboard.download import FileRequest
from argus_dashboard.gateway import Gateway
from argus_dashboard.parameters import Parameter, choice, flag, parse_query, whole_number
from argus_dashboard.query_parameters import COLUMNS_PARAMETER, QUERY_PARAMETERS, event_query
from argus_dashboard.sending import Way, file_form, file_headers, send_file
from argus_dashboard.watched import DOWNLOAD_ID_PARAMETER

# Half the library's: a download that is not read then holds 20 MB at most, and is no slower.
_BATCH_BYTES = 1024 * 1024

FORM_PARAMETERS = (
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
)
"""How a file of any format is written."""


def format_parameter(default: str) -> Parameter:
    """Which format a file has."""
    return Parameter("format", **choice(*FORMATS), description="The file's format.", default=default)


EXPORT_PARAMETERS = (
    format_parameter(DEFAULT_FORMAT),
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
    *FORM_PARAMETERS,
    DOWNLOAD_ID_PARAMETER,
)


class ExportEndpoint:
    """GET and HEAD /export."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        gateway: Gateway = request.app.state.gateway
        values = parse_query(scope["query_string"], EXPORT_PARAMETERS)
        form = file_form(values)
        query, columns, order = event_query(values), values["columns"], values["order"]
        file = FileRequest(
            export=lambda client, on_retry: client.export(
                query, columns=columns, order=order, max_batch_bytes=_BATCH_BYTES, on_retry=on_retry
            ),
            limit=values["limit"],
            form=form,
        )
        headers = file_headers("export", values, form)
        caller, download_id = caller_of(request), values["download_id"]
        if caller.token is not None and caller.session is None:
            await gateway.make_sure(caller)
            # Of a token that the server has not taken, nothing is kept.
            download_id = download_id if gateway.is_known(caller) else None
        watching = gateway.watched.watching(caller, download_id)
        with watching as watched, values.naming_violations():
            way = Way(gateway.downloads, gateway.download_threads, headers, watched)
            await send_file(request, receive, send, file, way)
