"""/openapi.json: the HTTP side described in OpenAPI 3.1, out of the tables that it is served by."""

from functools import cache
from http import HTTPStatus
from importlib.metadata import version
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from argus_dashboard.answers import json_answer
from argus_dashboard.operations import OPERATIONS, Operation
from argus_dashboard.parameters import Parameter, parse_query
from argus_dashboard.problems import STATUSES

_PROBLEM = {
    "type": "object",
    "description": "RFC 9457.",
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "parameter": {"type": "string"},
                    "value": {"type": ["string", "null"]},
                    "detail": {"type": "string"},
                    "allowed": {"type": "string"},
                },
                "required": ["parameter", "value", "detail", "allowed"],
            },
        },
        "requestId": {"type": "string"},
    },
    "required": ["type", "title", "status", "detail", "errors"],
}
_RETRY_AFTER = {"Retry-After": {"description": "In seconds.", "schema": {"type": "integer", "minimum": 1}}}
_PASSING = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)


async def openapi(request: Request) -> Response:
    """GET /openapi.json."""
    parse_query(request.scope["query_string"], ())
    return json_answer(request, description())


@cache
def description() -> dict[str, Any]:
    """The document."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Argus dashboard",
            "version": version("argus-export"),
            "description": "Events of JVMs, out of an Argus server. All is read by GET; HEAD gives the same "
            "headers. Unknown parameters and values are refused with 400, which names them.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": {operation.path: {"get": _get(operation)} for operation in OPERATIONS},
        "components": {"schemas": {"Problem": _PROBLEM}},
    }


def _get(operation: Operation) -> dict[str, Any]:
    return {
        "operationId": operation.path.strip("/").replace("/", "-"),
        "summary": operation.summary,
        "parameters": [
            *map(_parameter, operation.parameters),
            *(
                {"name": name, "in": "header", "description": text, "schema": {"type": "string"}}
                for name, text in operation.request_headers.items()
            ),
        ],
        "responses": {
            "200": {
                "description": "All is well.",
                "content": dict(operation.content),
                "headers": dict(operation.headers),
            },
            **{str(int(status)): _problem(status) for status in STATUSES},
            **operation.other_answers,
        },
    }


def _parameter(parameter: Parameter) -> dict[str, Any]:
    schema = dict(parameter.schema)
    if parameter.repeats:
        schema = {"type": "array", "items": schema}
    elif parameter.default is not None:
        schema["default"] = parameter.default
    described = {
        "name": parameter.name,
        "in": "query",
        "description": parameter.description,
        "schema": schema,
        "required": parameter.is_required,
    }
    return described | ({"style": "form", "explode": True} if parameter.repeats else {})


def _problem(status: HTTPStatus) -> dict[str, Any]:
    described: dict[str, Any] = {
        "description": status.phrase,
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    return described | ({"headers": _RETRY_AFTER} if status in _PASSING else {})
