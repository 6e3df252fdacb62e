"""/openapi.json: the HTTP side described in OpenAPI 3.1, out of the tables that it is served by."""

from collections.abc import Mapping
from functools import cache
from http import HTTPStatus
from importlib.metadata import version
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from argus_dashboard.answers import json_answer
from argus_dashboard.operations import Operation, by_path
from argus_dashboard.parameters import Parameter, parse_query
from argus_dashboard.problems import FORM_STATUSES, STATUSES

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
        "limit": {"type": "string", "description": "Of limit-exceeded and too-much: the limit's name."},
    },
    "required": ["type", "title", "status", "detail", "errors"],
}
_RETRY_AFTER = {"Retry-After": {"description": "In seconds.", "schema": {"type": "integer", "minimum": 1}}}
_HEADERS: Mapping[HTTPStatus, Any] = {
    HTTPStatus.UNAUTHORIZED: {
        "WWW-Authenticate": {"description": "Bearer.", "schema": {"const": "Bearer"}},
    },
    HTTPStatus.TOO_MANY_REQUESTS: _RETRY_AFTER,
    HTTPStatus.SERVICE_UNAVAILABLE: _RETRY_AFTER,
}
_DESCRIPTIONS: Mapping[HTTPStatus, str] = {
    HTTPStatus.UNAUTHORIZED: "not-signed-in: the server asks who it is, and knows no such token.",
    HTTPStatus.FORBIDDEN: "not-allowed: the caller's role does not have this; errors names the parameters.",
    HTTPStatus.TOO_MANY_REQUESTS: "limit-exceeded: limit names it; come again after Retry-After.",
}
_SECURITY: Mapping[str, Any] = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "A token of the Argus server. It goes before a session.",
    },
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": "__Host-argus-session",
        "description": "Of POST /login. Over plain HTTP it is named argus-session.",
    },
}


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
            "description": "Events of JVMs, out of an Argus server. All but sign-in is read by GET; HEAD "
            "gives the same headers. Unknown parameters and values are refused with 400, which names them.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": {
            path: {operation.method.lower(): _described(operation) for operation in operations}
            for path, operations in by_path().items()
        },
        # None of them: a server that asks nobody who it is serves all.
        "security": [{}, *({name: []} for name in _SECURITY)],
        "components": {"schemas": {"Problem": _PROBLEM}, "securitySchemes": _SECURITY},
    }


def _described(operation: Operation) -> dict[str, Any]:
    is_post = operation.method == "POST"
    described: dict[str, Any] = {
        "operationId": operation.path.strip("/").replace("/", "-") + ("-post" if is_post else ""),
        "summary": operation.summary,
        "parameters": [
            *map(_parameter, operation.parameters),
            *(
                {"name": name, "in": "header", "description": text, "schema": {"type": "string"}}
                for name, text in operation.request_headers.items()
            ),
        ],
        "responses": {
            **({"200": _whole(operation)} if operation.content else {}),
            **{
                str(int(status)): _problem(status, operation)
                for status in (*STATUSES, *(FORM_STATUSES if is_post else ()))
            },
            **operation.other_answers,
        },
    }
    if operation.form:
        schema = {"type": "object", "properties": dict(operation.form), "additionalProperties": False}
        content = {"application/x-www-form-urlencoded": {"schema": schema}}
        described["requestBody"] = {"content": content, "required": True}
    return described


def _whole(operation: Operation) -> dict[str, Any]:
    return {
        "description": "All is well.",
        "content": dict(operation.content),
        "headers": dict(operation.headers),
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


def _problem(status: HTTPStatus, operation: Operation) -> dict[str, Any]:
    content: dict[str, Any] = {
        "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}
    }
    if operation.path == "/login" and operation.method == "POST":
        content["text/html"] = {"schema": {"type": "string"}}
    described: dict[str, Any] = {"description": _DESCRIPTIONS.get(status, status.phrase), "content": content}
    return described | ({"headers": _HEADERS[status]} if status in _HEADERS else {})
