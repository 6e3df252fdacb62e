"""What is served under which path, and how it is described: the routes and /openapi.json come from it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from argus_dashboard import api
from argus_dashboard.aggregate import AGGREGATE_PARAMETERS, AggregateEndpoint
from argus_dashboard.export import EXPORT_PARAMETERS, ExportEndpoint
from argus_dashboard.follow import FOLLOW_PARAMETERS, FollowEndpoint
from argus_dashboard.parameters import Parameter
from argus_dashboard.sending import MEDIA_TYPES
from argus_dashboard.signing_in import NEXT_PARAMETER, SIGN_IN_PARAMETERS, SignIn, sign_out, signed_in
from argus_dashboard.watched import DOWNLOAD_PARAMETERS, download

_INTEGER = {"type": "integer", "format": "int64"}
_TEXT = {"type": "string"}
_TEXTS = {"type": "array", "items": _TEXT}
_INSTANT_OR_NULL = {"type": ["string", "null"], "format": "date-time"}
_EVENT = {
    "type": "object",
    "description": "An event by the columns' JSON names; what is NULL is left out.",
    "additionalProperties": {"type": ["string", "number", "null"]},
}
_EVENTS = {"type": "array", "items": _EVENT}


def _closed(**properties: Any) -> dict[str, Any]:
    """The schema of an object with these members, all of them and no others."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


_QUERY = {
    "type": "object",
    "description": "The query as applied: from, to and type always, the rest where set.",
    "required": ["from", "to", "type"],
}
_COLUMN = _closed(
    name=_TEXT,
    jsonName=_TEXT,
    title=_TEXT,
    type={"enum": ["string", "int32", "int64", "double", "timestamp_ns", "event_type"]},
    unit={"type": ["string", "null"], "description": "In UCUM codes."},
    description=_TEXT,
    carriedBy={**_TEXTS, "description": "The event types that have it; empty: all."},
    isDefault={"type": "boolean"},
    isRedacted={
        "type": "boolean",
        "description": "The caller's role sees NULL for it.",
    },
)
_PLAN = _closed(
    totalEvents=_INTEGER,
    firstTimestamp=_INSTANT_OR_NULL,
    lastTimestamp=_INSTANT_OR_NULL,
    estimatedCsvBytes=_INTEGER,
    estimatedJsonBytes=_INTEGER,
    watermark=_INTEGER,
    removedEvents=_INTEGER,
    query=_QUERY,
    columns=_TEXTS,
    redactedColumns=_TEXTS,
)
_EXPORT = _closed(
    exportedAt={"type": "string", "format": "date-time"},
    query=_QUERY,
    totalEvents=_INTEGER,
    events=_EVENTS,
)
_AGGREGATE = _closed(
    exportedAt={"type": "string", "format": "date-time"},
    query=_QUERY,
    totalEvents=_INTEGER,
    groupBy=_TEXTS,
    measures=_TEXTS,
    totalGroups=_INTEGER,
    events=_EVENTS,
)
_DOWNLOAD = _closed(
    state={"enum": ["unknown", "running", "whole", "refused", "broken", "cancelled"]},
    reason={"type": ["string", "null"], "description": "Why it was refused, broke, or waits."},
    rows={**_INTEGER, "description": "How many events have been written."},
    totalEvents={"type": ["integer", "null"], "description": "null before it has begun."},
    bytes={**_INTEGER, "description": "How much of the file has been written."},
)
_HEALTH = _closed(status={"enum": ["ok", "unavailable"]}, server={"enum": ["reachable", "unreachable"]})


def _json(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _header(description: str) -> dict[str, Any]:
    return {"description": description, "schema": _TEXT}


def _seen(description: str, headers: Mapping[str, Any]) -> dict[str, Any]:
    return {"description": description, "headers": {"Location": _header("Where to go."), **headers}}


def _file(json_schema: Mapping[str, Any]) -> dict[str, Any]:
    return {**{media_type: {} for media_type in MEDIA_TYPES}, **_json(json_schema)}


_PAGE = {"text/html": {"schema": _TEXT}}
_FILE_HEADERS = {
    "X-Argus-Export-Id": _header("Names the export in logs."),
    "X-Argus-Exported-At": _header("When it began."),
    "X-Argus-Columns": _header("The columns, in order."),
    "X-Argus-Watermark": _header("Pass it as after_sequence to get what has come since."),
    "X-Argus-Total-Events": _header("How many events it has, exactly."),
    "X-Argus-Completeness": _header("COMPLETE, or TRUNCATED by the limit."),
    "X-Argus-Rows-Remaining": _header("How many more match than the limit lets through."),
}


@dataclass(frozen=True, kw_only=True)
class Operation:
    """What one path does by GET and HEAD, or by POST.

    content: of the 200, by media type; none: there is no 200. headers: of the 200. request_headers: beyond
    the usual ones. form: the schemas of a POST's fields. other_answers: those that are no problem+json, by
    status.
    """

    path: str
    endpoint: Callable[..., Any]
    summary: str
    method: Literal["GET", "POST"] = "GET"
    parameters: tuple[Parameter, ...] = ()
    content: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, Any] = field(default_factory=dict)
    form: Mapping[str, Any] = field(default_factory=dict)
    request_headers: Mapping[str, str] = field(default_factory=dict)
    other_answers: Mapping[str, Any] = field(default_factory=dict)


OPERATIONS = (
    Operation(
        path="/export",
        endpoint=ExportEndpoint(),
        summary="The matching events as a file. An answer that breaks off lacks its last chunk, and over "
        "HTTP/1.0 its connection is reset.",
        parameters=EXPORT_PARAMETERS,
        content=_file(_EXPORT),
        headers={
            "Content-Disposition": _header("The file's name, with the date of from, else today's."),
            **_FILE_HEADERS,
        },
    ),
    Operation(
        path="/api/aggregate",
        endpoint=AggregateEndpoint(),
        summary="The matching events in groups, ordered by their keys, NULL last.",
        parameters=AGGREGATE_PARAMETERS,
        content=_file(_AGGREGATE),
        headers=_FILE_HEADERS,
    ),
    Operation(
        path="/api/columns",
        endpoint=api.columns,
        summary="The columns, event types, group keys and measures that there are for the caller.",
        content=_json(
            _closed(
                columns={"type": "array", "items": _COLUMN},
                eventTypes={"type": "array", "items": _closed(name=_TEXT, shortName=_TEXT)},
                server={**_TEXT, "description": "The Argus server, HOST:PORT."},
                groupBy=_TEXTS,
                measures=_TEXTS,
            )
        ),
    ),
    Operation(
        path="/api/plan",
        endpoint=api.plan,
        summary="What an export would hold: the exact count, and about how large its files would be.",
        parameters=api.PLAN_PARAMETERS,
        content=_json(_PLAN),
    ),
    Operation(
        path="/api/events",
        endpoint=api.events,
        summary="The newest matching events by timestamp, the newest first.",
        parameters=api.EVENTS_PARAMETERS,
        content=_json(_closed(events=_EVENTS, watermark=_INTEGER)),
    ),
    Operation(
        path="/api/follow",
        endpoint=FollowEndpoint(),
        summary="New events as they are stored, as server-sent events: `events` with a JSON array of them, "
        "and `heartbeat` every few seconds while there are none. They begin with what is stored from now "
        "on, or after after_sequence.",
        parameters=FOLLOW_PARAMETERS,
        request_headers={"Last-Event-ID": "The last id that came of the same stream: it goes on after it."},
        content={"text/event-stream": {"schema": _TEXT}},
    ),
    Operation(
        path="/api/download",
        endpoint=download,
        summary="What becomes of a download that was given a download_id: how far it is, and how it ended. "
        "Known while it runs, and for ten minutes.",
        parameters=DOWNLOAD_PARAMETERS,
        content=_json(_DOWNLOAD),
    ),
    Operation(
        path="/api/session",
        endpoint=signed_in,
        summary="Whether the cookie is of somebody who is signed in, and what their token says of itself.",
        content=_json(_closed(signedIn={"type": "boolean"}, name={"type": ["string", "null"]})),
    ),
    Operation(
        path="/login",
        endpoint=SignIn,
        summary="The page to sign in on.",
        parameters=SIGN_IN_PARAMETERS,
        content=_PAGE,
    ),
    Operation(
        path="/login",
        method="POST",
        endpoint=SignIn,
        summary="Signs in: gives a session cookie for a token that the server takes. Of those that fail, "
        "ten a minute with one token from one address, and 100 in all. What takes "
        "text/html gets its refusals as the page.",
        form={"token": _TEXT, "next": {**NEXT_PARAMETER.schema, "default": NEXT_PARAMETER.default}},
        other_answers={
            "303": _seen("Signed in.", {"Set-Cookie": _header("The session's, until the browser ends.")}),
        },
    ),
    Operation(
        path="/logout",
        method="POST",
        endpoint=sign_out,
        summary="Signs out: ends the session and what it follows.",
        other_answers={
            "303": _seen("Signed out.", {"Set-Cookie": _header("Takes the session's cookie away.")}),
        },
    ),
    Operation(
        path="/healthz",
        endpoint=api.healthz,
        summary="Whether the dashboard runs, and its server answers.",
        content=_json(_HEALTH),
        other_answers={"503": {"description": "The server does not answer.", "content": _json(_HEALTH)}},
    ),
)


def by_path() -> dict[str, list[Operation]]:
    """All of them, by their paths; those of one path have one endpoint."""
    found: dict[str, list[Operation]] = {}
    for operation in OPERATIONS:
        found.setdefault(operation.path, []).append(operation)
    return found
