"""The page and its files; plotly's from the plotly package, so that no other host is asked."""

import asyncio
import importlib.util
import zlib
from functools import cache
from http import HTTPStatus
from importlib.metadata import version
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from argus_dashboard.negotiation import content_coding

_FOLDER = Path(__file__).parent / "static"
_GZIP_WBITS = 31
_DAY_S = 86_400
# Asked for each time, answered with 304 while it is the same.
_REVALIDATED = {"Cache-Control": "no-cache"}


class _Static(StaticFiles):
    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers.update(_REVALIDATED)
        return response


STATIC = _Static(directory=_FOLDER)


async def index(_: Request) -> Response:
    """GET /: the page."""
    return FileResponse(_FOLDER / "index.html", headers=_REVALIDATED)


async def plotly(request: Request) -> Response:
    """GET /static/plotly.min.js: the library, for a day; compressed once, since it is large."""
    coding = content_coding(request.headers.getlist("accept-encoding"))
    headers = {
        "Cache-Control": f"public, max-age={_DAY_S}",
        "ETag": f'"plotly-{version("plotly")}-{coding}"',
        "Vary": "Accept-Encoding",
    }
    tags = [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]
    if headers["ETag"] in tags or "*" in tags:
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    if coding == "gzip":
        headers["Content-Encoding"] = "gzip"
        body = await asyncio.get_running_loop().run_in_executor(None, _compressed_plotly)
        return Response(body, media_type="text/javascript", headers=headers)
    return FileResponse(_plotly_path(), media_type="text/javascript", headers=headers)


@cache
def _plotly_path() -> Path:
    # Found without importing it, which takes a second.
    found = importlib.util.find_spec("plotly")
    assert found is not None
    assert found.submodule_search_locations
    return Path(found.submodule_search_locations[0]) / "package_data" / "plotly.min.js"


@cache
def _compressed_plotly() -> bytes:
    return zlib.compress(_plotly_path().read_bytes(), wbits=_GZIP_WBITS)
