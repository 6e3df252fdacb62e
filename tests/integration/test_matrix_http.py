"""Every route of the dashboard, asked by everyone there can be: the exact status and problem type of each."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta

import pytest
from starlette.routing import Mount, Route

from argus_dashboard.app import make_app
from argus_dashboard.config import Config
from argus_grpc.access.tokens_file import create_token
from tests.dashboard import ask, bearer, dashboard_process, sign_in
from tests.identities import make_token
from tests.people import WRONG, start_people

NOT_SIGNED_IN = (401, "not-signed-in")
NOT_ALLOWED = (403, "not-allowed")
OK = (200, None)
SEEN = (303, None)

Outcome = tuple[int, str | None]

# The columns of the matrix.
WHO = (
    "nobody",
    "malformed header",
    "wrong token",
    "expired token",
    "session that is over",
    "writer's token",
    "writer's session",
    "reader's token",
    "reader's session",
)


def everyone(outcome: Outcome, **others: Outcome) -> Mapping[str, Outcome]:
    """The same to all but those that are named, with _ for blanks and apostrophes."""
    named = {who: others.pop(who.replace("'", "_").replace(" ", "_"), outcome) for who in WHO}
    assert not others
    return named


DATA = everyone(
    NOT_SIGNED_IN,
    writer_s_token=NOT_ALLOWED,
    writer_s_session=NOT_ALLOWED,
    reader_s_token=OK,
    reader_s_session=OK,
)
"""What the server is asked for."""
OPEN = everyone(OK)
"""What is the same to all."""

MATRIX: Mapping[tuple[str, str], tuple[str, Mapping[str, Outcome]]] = {
    ("GET", "/export"): ("/export?columns=timestamp", DATA),
    ("GET", "/api/aggregate"): ("/api/aggregate?by=event_type", DATA),
    ("GET", "/api/columns"): ("/api/columns", DATA),
    ("GET", "/api/plan"): ("/api/plan", DATA),
    ("GET", "/api/events"): ("/api/events?limit=1", DATA),
    ("GET", "/api/follow"): ("/api/follow?after_sequence=0", DATA),
    # The dashboard's own: a token is not looked at, since each sees only what was asked for with it.
    ("GET", "/api/download"): (
        "/api/download?download_id=somebodys",
        everyone(OK, malformed_header=NOT_SIGNED_IN, session_that_is_over=NOT_SIGNED_IN),
    ),
    ("GET", "/api/session"): ("/api/session", everyone(OK, malformed_header=NOT_SIGNED_IN)),
    ("GET", "/healthz"): ("/healthz", OPEN),
    ("GET", "/openapi.json"): ("/openapi.json", OPEN),
    ("GET", "/"): ("/", OPEN),
    ("GET", "/static"): ("/static/app.css", OPEN),
    ("GET", "/static/plotly.min.js"): ("/static/plotly.min.js", OPEN),
    ("GET", "/login"): ("/login", OPEN),
    # Its own form says who signs in: here nobody, whatever else the request has.
    ("POST", "/login"): ("/login", everyone(NOT_SIGNED_IN)),
    ("POST", "/logout"): ("/logout", everyone(SEEN)),
}


@dataclass(frozen=True)
class Door:
    """The dashboard, and what the people of WHO send to it."""

    url: str
    tokens: Mapping[str, str]
    fields: Mapping[str, Mapping[str, str]]


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    folder = tmp_path_factory.mktemp("server")
    tokens = folder / "tokens.json"
    made = {name: make_token(tokens, name, name) for name in ("writer", "reader")}
    expired = create_token(tokens, "late", "reader", timedelta(seconds=-1))[0]
    for people in start_people(folder):
        with dashboard_process(tmp_path_factory.mktemp("dashboard"), people.server.address) as process:
            sessions = {name: sign_in(process.url, made[name]) for name in made}
            over = sign_in(process.url, made["reader"])
            assert ask(f"{process.url}/logout", "POST", over).status == 303
            fields = {
                "nobody": {},
                "malformed header": {"Authorization": "Basic YTpi"},
                "wrong token": bearer(WRONG),
                "expired token": bearer(expired),
                "session that is over": over,
                "writer's token": bearer(made["writer"]),
                "writer's session": sessions["writer"],
                "reader's token": bearer(made["reader"]),
                "reader's session": sessions["reader"],
            }
            yield Door(process.url, made, fields)


def routes() -> set[tuple[str, str]]:
    """What the application serves; HEAD is GET without a body."""
    app, gateway = make_app(Config())
    with gateway:
        found: set[tuple[str, str]] = set()
        for route in app.routes:
            assert isinstance(route, Route | Mount)
            methods = route.methods if isinstance(route, Route) else {"GET"}
            found |= {(method, route.path) for method in methods or () if method != "HEAD"}
        return found


def test_every_route_has_a_row() -> None:
    assert routes() == set(MATRIX)


@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize(("method", "path"), MATRIX, ids=[" ".join(row) for row in MATRIX])
def test_everyone_gets_exactly_this(door: Door, method: str, path: str, who: str) -> None:
    target, outcomes = MATRIX[method, path]
    url, fields = f"{door.url}{target}", door.fields[who]
    # An address for each, since sign-ins are counted by address.
    source = f"127.0.1.{1 + WHO.index(who)}"
    if path == "/logout" and who.endswith("'s session"):
        # Another than the one that is needed on.
        fields = sign_in(door.url, door.tokens[who.removesuffix("'s session")], source=source)
    form: dict[str, str] | None = {} if method == "POST" else None
    answer = ask(url, method, fields, form, source=source, whole=path != "/api/follow" or who not in WHO[-2:])
    assert (answer.status, answer.problem) == outcomes[who], answer
    if answer.status == 401:
        assert answer.headers["www-authenticate"] == "Bearer"
    if method == "GET" and path != "/static":
        head = ask(url, "HEAD", fields, source=source)
        assert head.status == answer.status
        assert head.headers["content-type"] == answer.headers["content-type"]
    if path.startswith(("/api", "/export", "/login")):
        assert answer.headers["cache-control"] == "private, no-store"
        assert {"Cookie", "Authorization"} <= {name.strip() for name in answer.headers["vary"].split(",")}
