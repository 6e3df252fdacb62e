"""Answers that are whole in memory, compressed for those who take it."""

import json
import zlib
from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response

from argus_dashboard.negotiation import content_coding

_GZIP_WBITS = 31
_FAST_LEVEL = 1
_LEAST_COMPRESSED_BYTES = 1024


def answer(
    request: Request, body: bytes, media_type: str, headers: Mapping[str, str] | None = None
) -> Response:
    """200 with this body."""
    sent = {"Vary": "Accept-Encoding", **(headers or {})}
    if (
        content_coding(request.headers.getlist("accept-encoding")) == "gzip"
        and len(body) >= _LEAST_COMPRESSED_BYTES
    ):
        body = zlib.compress(body, _FAST_LEVEL, _GZIP_WBITS)
        sent["Content-Encoding"] = "gzip"
    return Response(body, media_type=media_type, headers=sent)


def json_answer(request: Request, content: object) -> Response:
    """200 with this content as JSON."""
    return answer(request, json.dumps(content, ensure_ascii=False).encode(), "application/json")
