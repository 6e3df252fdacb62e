"""What the page asks for, as JSON."""

from http import HTTPStatus
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from argus_client import EventQuery, ExportClient, NotAllowed, NotSignedIn
from argus_client.formats.metadata import column_metadata, plan_metadata
from argus_client.formats.objects import objects_text
from argus_client.grouping import GROUP_KEYS, measures_of
from argus_client.query import EVENT_TYPE_CODES
from argus_client.times import INT64_MAX
from argus_dashboard.answers import answer, json_answer
from argus_dashboard.callers import caller_of
from argus_dashboard.gateway import Gateway
from argus_dashboard.parameters import Parameter, Values, parse_query, whole_number
from argus_dashboard.query_parameters import COLUMNS_PARAMETER, QUERY_PARAMETERS, event_query

MAX_EVENTS = 1_000

# Of the group keys that are not named as their column is.
_GROUPED_COLUMNS = {"time": "timestamp", "stack": "stack_trace"}

PLAN_PARAMETERS = (*QUERY_PARAMETERS, COLUMNS_PARAMETER)
EVENTS_PARAMETERS = (
    *PLAN_PARAMETERS,
    Parameter(
        "limit",
        **whole_number(1, MAX_EVENTS),
        description="At most so many events, the newest ones.",
        default=100,
    ),
)
NO_PARAMETERS: tuple[Parameter, ...] = ()


async def columns(request: Request) -> Response:
    """GET /api/columns: the columns, event types, group keys and measures that there are for the caller, and
    the server that has them."""
    parse_query(request.scope["query_string"], NO_PARAMETERS)
    gateway: Gateway = request.app.state.gateway
    offered = await gateway.call(caller_of(request), _offered)
    # For the command lines that the page offers.
    return json_answer(request, {**offered, "server": gateway.config.server})


def _offered(client: ExportClient) -> dict[str, Any]:
    columns = client.columns()
    try:
        # Of nothing: what it would be of says what the caller's role leaves.
        plan = client.plan(EventQuery(after_sequence=INT64_MAX), columns="all")
        types, redacted = plan.query.event_types, set(plan.redacted_columns)
    except NotSignedIn:
        raise
    except NotAllowed:
        types, redacted = None, set()
    shown = [column for column in columns if column.name not in redacted]
    names = {column.name for column in shown}
    return {
        "columns": [{**column_metadata(column), "isRedacted": column.name in redacted} for column in columns],
        "eventTypes": [
            {"name": name, "shortName": name.removeprefix("VIRTUAL_THREAD_")}
            for name, code in EVENT_TYPE_CODES.items()
            if not types or code in types
        ],
        "groupBy": [key for key in GROUP_KEYS if _GROUPED_COLUMNS.get(key, key) in names],
        "measures": measures_of(shown),
    }


async def plan(request: Request) -> Response:
    """GET /api/plan: what an export would hold."""
    values = parse_query(request.scope["query_string"], PLAN_PARAMETERS)
    query = event_query(values)
    gateway: Gateway = request.app.state.gateway
    with values.naming_violations():
        found = await gateway.call(
            caller_of(request), lambda client: client.plan(query, columns=values["columns"])
        )
    return json_answer(request, plan_metadata(found))


async def events(request: Request) -> Response:
    """GET /api/events: the newest events, for a table."""
    values = parse_query(request.scope["query_string"], EVENTS_PARAMETERS)
    query = event_query(values)
    gateway: Gateway = request.app.state.gateway
    with values.naming_violations():
        body = await gateway.call(caller_of(request), lambda client: _newest_as_json(client, query, values))
    return answer(request, body, "application/json")


def _newest_as_json(client: ExportClient, query: EventQuery, values: Values) -> bytes:
    newest = client.newest(query, columns=values["columns"], limit=values["limit"])
    keys = [column.json_name for column in newest.header.columns]
    rows = [objects_text(keys, batch, "auto", ",", "") for batch in newest.events.to_batches()]
    text = b"".join(rows)[1:]
    return b'{"events":[%b],"watermark":%d}' % (text, newest.header.watermark)


async def healthz(request: Request) -> Response:
    """GET /healthz: whether the dashboard runs, and reaches its server."""
    parse_query(request.scope["query_string"], NO_PARAMETERS)
    gateway: Gateway = request.app.state.gateway
    if await gateway.is_server_reachable():
        return JSONResponse({"status": "ok", "server": "reachable"})
    return JSONResponse({"status": "unavailable", "server": "unreachable"}, HTTPStatus.SERVICE_UNAVAILABLE)
