"""The bodies of POST requests: small forms, checked before they are read."""

import asyncio
from collections.abc import Sequence
from http import HTTPStatus
from urllib.parse import parse_qsl

from starlette.requests import ClientDisconnect, Request

from argus_dashboard.gateway import Gateway
from argus_dashboard.parameters import shown
from argus_dashboard.problems import Problem

MAX_FORM_BYTES = 8 * 1024
_MEDIA_TYPE = "application/x-www-form-urlencoded"


async def read_form(request: Request, names: Sequence[str]) -> dict[str, str]:
    """The fields of the request's body, each once at most; an empty body has none.

    Raises a Problem that never shows a field's value, since one may be a secret: 400, 408, 413, 415.
    """
    body = await _read_body(request)
    if not body:
        return {}
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != _MEDIA_TYPE:
        raise Problem(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "unsupported-media-type",
            f"Content-Type {shown(media_type)} is not allowed; allowed: {_MEDIA_TYPE}",
        )
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, errors="strict", separator="&")
    except UnicodeDecodeError:
        raise _refused("the form is not percent-encoded UTF-8") from None
    allowed = ", ".join(names) or "no fields"
    fields: dict[str, str] = {}
    for name, value in pairs:
        if name not in names:
            raise _refused(f"there is a field that is not allowed; allowed: {allowed}")
        if name in fields:
            raise _refused(f"{name} is given more than once; allowed: once")
        fields[name] = value
    return fields


async def _read_body(request: Request) -> bytes:
    gateway: Gateway = request.app.state.gateway
    timeout_s = gateway.config.request_timeout_s
    told = request.headers.get("content-length", "0")
    if int(told) > MAX_FORM_BYTES:
        raise _too_large()
    body = b""
    try:
        async with asyncio.timeout(timeout_s):
            async for piece in request.stream():
                body += piece
                if len(body) > MAX_FORM_BYTES:
                    raise _too_large()
    except TimeoutError:
        detail = f"the body did not come within {timeout_s:g} s"
        raise Problem(
            HTTPStatus.REQUEST_TIMEOUT, "request-timeout", detail, headers={"Connection": "close"}
        ) from None
    except ClientDisconnect:
        # Nobody is there to read it; but that a stranger hung up is no error of ours for the log.
        raise _refused("the connection ended before the body was whole") from None
    return body


def _too_large() -> Problem:
    # What is left of it is not read.
    return Problem(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        "too-large",
        f"the body is too large; allowed: {MAX_FORM_BYTES} bytes",
        headers={"Connection": "close"},
    )


def _refused(detail: str) -> Problem:
    return Problem(HTTPStatus.BAD_REQUEST, "invalid-request", detail)
