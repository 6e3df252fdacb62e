"""The application: what is served where, and what stands around it."""

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route

from argus_client import ArgusClientError
from argus_dashboard import pages
from argus_dashboard.config import Config
from argus_dashboard.gateway import Gateway
from argus_dashboard.middleware import BoundedHead, CheckedHost, CheckedOrigin, EndedSessions, Guarded
from argus_dashboard.openapi import openapi
from argus_dashboard.operations import by_path
from argus_dashboard.problems import Problem, problem_of, problem_of_status
from argus_dashboard.sessions import Sessions
from argus_dashboard.tries import Tries

_ROUTES = (
    *(
        Route(path, operations[0].endpoint, methods=[operation.method for operation in operations])
        for path, operations in by_path().items()
    ),
    Route("/openapi.json", openapi),
    Route("/", pages.index),
    Route("/static/plotly.min.js", pages.plotly),
    Mount("/static", pages.STATIC),
)


def make_app(config: Config) -> tuple[Starlette, Gateway]:
    """The application, and what it stands on, to be closed after it."""
    gateway = Gateway(config)
    sessions = Sessions()
    app = Starlette(
        routes=_ROUTES,
        # First to last is outermost to innermost: a refused host's answer is guarded as any other.
        middleware=[
            Middleware(Guarded),
            Middleware(BoundedHead),
            Middleware(CheckedHost, config=config),
            Middleware(CheckedOrigin),
            Middleware(EndedSessions, sessions=sessions),
        ],
        exception_handlers={
            Problem: _tell_problem,
            ArgusClientError: _tell_client_error,
            HTTPException: _tell_http_exception,
        },
    )
    app.router.redirect_slashes = False
    app.state.gateway = gateway
    app.state.sessions = sessions
    app.state.sign_in_tries = Tries()
    return app, gateway


async def _tell_problem(_: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return error.to_response()


async def _tell_client_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, ArgusClientError)
    problem = problem_of(error)
    if problem is None:
        raise error
    return problem.to_response()


async def _tell_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return problem_of_status(error.status_code, request, error.headers).to_response()
