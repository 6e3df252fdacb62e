"""GET /api/aggregate: the matching events in groups."""

from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from argus_client.grouping import parse_group_key, parse_measure
from argus_client.query import checked_by
from argus_client.times import INT64_MAX
from argus_dashboard.download import FileRequest
from argus_dashboard.export import FORM_PARAMETERS, format_parameter
from argus_dashboard.gateway import Gateway
from argus_dashboard.parameters import Parameter, parse_query, whole_number
from argus_dashboard.query_parameters import QUERY_PARAMETERS, event_query
from argus_dashboard.sending import Way, file_form, file_headers, send_file

AGGREGATE_PARAMETERS = (
    Parameter(
        "by",
        checked_by(parse_group_key),
        "What the groups are by; it repeats, or takes a comma list: time:DURATION, event_type, source, "
        "thread_name, carrier_thread, class_name, method_name, monitor_class, gc_cause, stack. None: all "
        "events are one group.",
        {"type": "string", "minLength": 1, "examples": ["time:1m", "event_type"]},
        repeats=True,
        has_commas=True,
        field="group_by",
    ),
    Parameter(
        "measure",
        checked_by(parse_measure),
        "What is computed of each group; it repeats, or takes a comma list: count, or one of sum, min, max, "
        "avg, p50, p90, p95 and p99 with a column: p99:duration_ns. None: count.",
        {"type": "string", "minLength": 1, "examples": ["count", "p99:duration_ns"]},
        repeats=True,
        has_commas=True,
        field="measures",
    ),
    *QUERY_PARAMETERS,
    Parameter(
        "limit",
        **whole_number(1, INT64_MAX),
        description="At most so many groups. X-Argus-Completeness and X-Argus-Rows-Remaining say whether "
        "that cuts; totalGroups counts them all.",
        field="limit",
    ),
    format_parameter("json"),
    *FORM_PARAMETERS,
)


class AggregateEndpoint:
    """GET and HEAD /api/aggregate."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        gateway: Gateway = request.app.state.gateway
        values = parse_query(scope["query_string"], AGGREGATE_PARAMETERS)
        form = file_form(values)
        query, group_by, measures = event_query(values), values["by"], values["measure"]
        file = FileRequest(
            export=lambda client, on_retry: client.aggregate(
                query, group_by=group_by, measures=measures, on_retry=on_retry
            ),
            limit=values["limit"],
            form=form,
        )
        headers = file_headers("aggregate", values, form)
        if form.format == "json" and form.compression == "none":
            # It is for a program, or to be looked at.
            del headers["Content-Disposition"]
        way = Way(gateway.groupings, gateway.grouping_threads, headers)
        with values.naming_violations():
            await send_file(request, receive, send, file, way)
