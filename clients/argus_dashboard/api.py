"""What the page asks for, as JSON."""

from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from argus_client.formats.metadata import column_metadata, plan_metadata
from argus_client.query import EVENT_TYPE_CODES
from argus_dashboard.answers import json_answer
from argus_dashboard.gateway import Gateway
from argus_dashboard.parameters import Parameter, parse_query
from argus_dashboard.query_parameters import COLUMNS_PARAMETER, QUERY_PARAMETERS, event_query

PLAN_PARAMETERS = (*QUERY_PARAMETERS, COLUMNS_PARAMETER)
NO_PARAMETERS: tuple[Parameter, ...] = ()


async def columns(request: Request) -> Response:
    """GET /api/columns: the columns and the event types that there are, and the server that has them."""
    parse_query(request.scope["query_string"], NO_PARAMETERS)
    gateway: Gateway = request.app.state.gateway
    found = await gateway.call(lambda client: client.columns())
    return json_answer(
        request,
        {
            "columns": [column_metadata(column) for column in found],
            "eventTypes": [
                {"name": name, "shortName": name.removeprefix("VIRTUAL_THREAD_")} for name in EVENT_TYPE_CODES
            ],
            # For the command lines that the page offers.
            "server": gateway.config.server,
        },
    )


async def plan(request: Request) -> Response:
    """GET /api/plan: what an export would hold."""
    values = parse_query(request.scope["query_string"], PLAN_PARAMETERS)
    query = event_query(values)
    gateway: Gateway = request.app.state.gateway
    with values.naming_violations():
        found = await gateway.call(lambda client: client.plan(query, columns=values["columns"]))
    return json_answer(request, plan_metadata(found))


async def healthz(request: Request) -> Response:
    """GET /healthz: whether the dashboard runs, and reaches its server."""
    parse_query(request.scope["query_string"], NO_PARAMETERS)
    gateway: Gateway = request.app.state.gateway
    headers = {"Cache-Control": "no-store"}
    if await gateway.is_server_reachable():
        return JSONResponse({"status": "ok", "server": "reachable"}, headers=headers)
    return JSONResponse(
        {"status": "unavailable", "server": "unreachable"}, HTTPStatus.SERVICE_UNAVAILABLE, headers=headers
    )
