"""Signing in at the dashboard and out, and what a session is good for."""

import itertools
import json
import re
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import quote, urlencode, urlsplit

import pytest

from argus_client import ExportClient
from argus_grpc.v1.event_pb2 import Event
from tests.dashboard import ask, bearer, dashboard_process, sign_in
from tests.people import WRONG, People, start_people
from tests.refusals import wait_until

_sources = (f"127.0.2.{number}" for number in itertools.count(1))


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Iterator[People]:
    yield from start_people(tmp_path_factory.mktemp("server"))


@pytest.fixture(scope="module")
def url(people: People, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with dashboard_process(tmp_path_factory.mktemp("dashboard"), people.server.address) as process:
        yield process.url


@pytest.fixture
def source() -> str:
    """An address of a test's own, since sign-ins are counted by address."""
    return next(_sources)


@pytest.fixture
def token(people: People) -> str:
    """A reader's."""
    return people.token("reader")


def test_the_cookie_is_kept_from_scripts_and_other_sites(url: str, token: str, source: str) -> None:
    answer = ask(f"{url}/login", "POST", form={"token": token, "next": "/?last=1h"}, source=source)
    assert (answer.status, answer.headers["location"]) == (303, "/?last=1h")
    name, _, rest = answer.headers["set-cookie"].partition("=")
    id, *flags = rest.split("; ")
    assert name == "argus-session"
    assert set(flags) == {"Path=/", "HttpOnly", "SameSite=Strict"}
    # 256 bits, and nothing of the token.
    assert re.fullmatch(r"[\w-]{43}", id)
    assert id not in token
    assert token not in answer.headers["set-cookie"]


def test_a_session_is_who_signed_in(url: str, token: str, source: str) -> None:
    cookie = sign_in(url, token, source=source)
    told = json.loads(ask(f"{url}/api/session", headers=cookie).body)
    assert told == {"signedIn": True, "name": f"token {token.split('_')[1]}"}
    assert ask(f"{url}/api/columns", headers=cookie).status == 200
    assert json.loads(ask(f"{url}/api/session").body) == {"signedIn": False, "name": None}


def test_a_wrong_token_beside_a_good_session_is_refused_and_leaves_it(
    url: str, token: str, source: str
) -> None:
    cookie = sign_in(url, token, source=source)
    assert ask(f"{url}/api/columns", headers=cookie | bearer(WRONG)).status == 401
    assert ask(f"{url}/login", "POST", cookie, {"token": WRONG}, source=source).status == 401
    assert ask(f"{url}/api/columns", headers=cookie).status == 200


def test_an_id_that_somebody_else_chose_is_never_taken(url: str, token: str, source: str) -> None:
    planted = {"Cookie": "argus-session=" + "A" * 43}
    answer = ask(f"{url}/login", "POST", planted, {"token": token}, source=source)
    assert answer.cookie != planted["Cookie"]
    assert ask(f"{url}/api/columns", headers=planted).status == 401


def test_signing_in_again_ends_the_session_before(url: str, token: str, source: str) -> None:
    first = sign_in(url, token, source=source)
    second = {"Cookie": ask(f"{url}/login", "POST", first, {"token": token}, source=source).cookie}
    assert ask(f"{url}/api/columns", headers=first).status == 401
    assert ask(f"{url}/api/columns", headers=second).status == 200


def test_signing_out_ends_the_session_and_what_it_follows(url: str, token: str, source: str) -> None:
    cookie, other = (sign_in(url, token, source=source) for _ in range(2))
    connection = HTTPConnection(urlsplit(url).netloc, timeout=30)
    connection.request("GET", "/api/follow", headers=cookie)
    following = connection.getresponse()
    assert following.status == 200

    answer = ask(f"{url}/logout", "POST", cookie)
    assert (answer.status, answer.headers["location"]) == (303, "/login")
    assert answer.headers["set-cookie"].startswith("argus-session=; ")
    assert "Max-Age=0" in answer.headers["set-cookie"]
    # Without an end this would wait for ever.
    assert following.read().startswith(b"retry: ")
    connection.close()
    assert ask(f"{url}/api/columns", headers=cookie).status == 401
    assert ask(f"{url}/api/columns", headers=other).status == 200


def test_a_revoked_token_ends_its_session(people: People, url: str, source: str) -> None:
    token = people.token("reader")
    cookie = sign_in(url, token, source=source)
    people.revoke(token)
    wait_until(lambda: ask(f"{url}/api/columns", headers=cookie).status == 401)
    assert json.loads(ask(f"{url}/api/session", headers=cookie).body)["signedIn"] is False


@pytest.mark.parametrize(
    "fields",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "{url}"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "{url}0"},
    ],
)
def test_another_sites_page_can_post_nothing(
    url: str, token: str, source: str, fields: dict[str, str]
) -> None:
    cookie = sign_in(url, token, source=source)
    sent = {name: value.replace("{url}", url) for name, value in fields.items()}
    for path, form in (("/login", {"token": token}), ("/logout", {})):
        answer = ask(f"{url}{path}", "POST", cookie | sent, form, source=source)
        assert (answer.status, answer.problem) == (403, "cross-origin")
        assert "set-cookie" not in answer.headers
    assert ask(f"{url}/api/columns", headers=cookie).status == 200


@pytest.mark.parametrize(
    "fields", [{"Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}, {"Origin": "{url}"}, {}]
)
def test_its_own_page_and_programs_can(url: str, source: str, fields: dict[str, str]) -> None:
    sent = {name: value.replace("{url}", url) for name, value in fields.items()}
    assert ask(f"{url}/logout", "POST", sent, source=source).status == 303


def test_reading_changes_nothing(url: str, token: str, source: str) -> None:
    cookie = sign_in(url, token, source=source)
    assert ask(f"{url}/logout", headers=cookie).status == 405
    assert ask(f"{url}/login?token={token}").status == 400
    assert ask(f"{url}/api/columns", headers=cookie).status == 200


@pytest.mark.parametrize(
    "elsewhere",
    [
        "https://evil.example/",
        "//evil.example",
        "/\\evil.example",
        "/\t/evil.example",
        "/\n/evil.example",
        "\\\\evil.example",
        "javascript:alert(1)",
        "evil",
        "",
        "/é",
        "/\r\nSet-Cookie: a=b",
    ],
)
def test_nobody_is_led_elsewhere(url: str, token: str, source: str, elsewhere: str) -> None:
    answer = ask(f"{url}/login", "POST", form={"token": token, "next": elsewhere}, source=source)
    assert (answer.status, answer.problem) == (400, "invalid-request")
    assert answer.headers.keys().isdisjoint({"location", "set-cookie"})
    assert ask(f"{url}/login?next={quote(elsewhere)}").status == 400


def test_one_persons_download_is_not_told_to_another(people: People, url: str, source: str) -> None:
    first, second = (people.token("reader") for _ in range(2))
    cookie = sign_in(url, first, source=source)
    file = ask(f"{url}/export?download_id=shared-name", headers=cookie)
    assert file.status == 200

    def state(fields: dict[str, str]) -> str:
        answer = ask(f"{url}/api/download?download_id=shared-name", headers=fields)
        found = json.loads(answer.body)["state"]
        assert isinstance(found, str)
        return found

    assert state(cookie) == state(bearer(first)) == "whole"
    assert state(bearer(second)) == state(sign_in(url, second, source=source)) == state({}) == "unknown"


def test_nothing_is_kept_of_a_download_for_a_token_that_is_not_taken(url: str) -> None:
    assert ask(f"{url}/export?download_id=strangers", headers=bearer(WRONG)).status == 401
    answer = ask(f"{url}/api/download?download_id=strangers", headers=bearer(WRONG))
    assert json.loads(answer.body)["state"] == "unknown"


def test_nobody_takes_all_places_and_strangers_none(people: People, tmp_path: Path) -> None:
    first, second, third = (bearer(people.token("reader")) for _ in range(3))
    flags, refusals = ("--max-follows", "2"), list[bytes]()
    with dashboard_process(tmp_path, people.server.address, *flags) as process, ExitStack() as stack:

        def follow(fields: dict[str, str]) -> int:
            connection = HTTPConnection(urlsplit(process.url).netloc, timeout=30)
            stack.callback(connection.close)
            connection.request("GET", "/api/follow", headers=fields)
            response = connection.getresponse()
            if response.status == 429:
                refusals.append(response.read())
            return response.status

        assert follow(first) == 200
        assert follow(first) == 429
        assert b"max_follows: the limit of 1 followers at once for one caller is reached" in refusals.pop()
        assert follow(second) == 200
        # All are taken: those who are known are told so, others no more than that they are not.
        assert follow(third) == 429
        assert follow(bearer(WRONG)) == follow({}) == 401


def test_tries_are_counted_by_address_and_token(url: str, token: str) -> None:
    source = next(_sources)
    malformed = [ask(f"{url}/login", "POST", form={"token": "a b"}, source=source) for _ in range(11)]
    assert {answer.status for answer in malformed} == {401}
    tries = [ask(f"{url}/login", "POST", form={"token": WRONG}, source=source) for _ in range(11)]
    assert [answer.status for answer in tries] == [401] * 10 + [429]
    last = tries[-1]
    assert last.problem == "limit-exceeded"
    assert json.loads(last.body)["limit"] == "sign_ins_per_minute"
    assert 1 <= int(last.headers["retry-after"]) <= 60
    # Others behind the same proxy are let in, as often as they like.
    for _ in range(11):
        assert ask(f"{url}/login", "POST", form={"token": token}, source=source).status == 303


def test_people_are_told_on_the_page_and_their_text_is_no_markup(url: str, source: str) -> None:
    form = {"token": "<script>alert(1)</script>", "next": "/?a='\"><script>alert(1)</script>"}
    answer = ask(f"{url}/login", "POST", {"Accept": "text/html,*/*"}, form, source=source)
    assert (answer.status, answer.headers["content-type"]) == (401, "text/html; charset=utf-8")
    page = answer.body.decode()
    assert 'role="alert"' in page
    assert "<script>alert" not in page
    assert "alert(1)&lt;/script&gt;" in page
    assert "script-src" not in answer.headers["content-security-policy"]


@pytest.mark.parametrize(
    ("body", "fields", "status"),
    [
        (urlencode({"token": WRONG, "also": "this"}), {}, 400),
        (f"token={WRONG}&token={WRONG}", {}, 400),
        ("token=%ff", {}, 400),
        (json.dumps({"token": WRONG}), {"Content-Type": "application/json"}, 415),
        (f"token={'x' * 9_000}", {}, 413),
        (f"token={'x' * 8_000}", {}, 401),
    ],
)
def test_a_form_that_does_not_fit_is_refused_and_not_repeated(
    url: str, source: str, body: str, fields: dict[str, str], status: int
) -> None:
    for chunked in (False, True):
        connection = HTTPConnection(urlsplit(url).netloc, timeout=30, source_address=(source, 0))
        sent = {"Content-Type": "application/x-www-form-urlencoded"} | fields
        data = iter([body.encode()]) if chunked else body.encode()
        connection.request("POST", "/login", data, sent, encode_chunked=chunked)
        response = connection.getresponse()
        text = response.read().decode()
        connection.close()
        assert response.status == status
        assert WRONG not in text
        assert "xxx" not in text


def test_a_body_that_is_too_large_is_not_waited_for(url: str, source: str) -> None:
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname or "", parts.port or 0), 30, (source, 0)) as connection:
        connection.sendall(b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 413 ")


def test_a_role_is_refused_what_it_does_not_have_by_the_parameters_name(people: People, url: str) -> None:
    narrow = bearer(people.token("narrow"))
    for query, parameter, value in (
        ("/export?columns=timestamp,stack_trace", "columns", "stack_trace"),
        ("/api/plan?type=START,PINNED", "type", "PINNED"),
        ("/api/events?thread_name=x", "thread_name", "x"),
        ("/api/aggregate?by=source", "by", "source"),
        ("/api/follow?source=x", "source", "x"),
        ("/api/plan?source=x*", "source", "x*"),
    ):
        answer = ask(f"{url}{query}", headers=narrow)
        assert (answer.status, answer.problem) == (403, "not-allowed"), query
        [error] = json.loads(answer.body)["errors"]
        assert (error["parameter"], error["value"]) == (parameter, value)


def test_columns_are_those_of_the_caller(people: People, url: str) -> None:
    everything = json.loads(ask(f"{url}/api/columns", headers=bearer(people.token("reader"))).body)
    narrow = json.loads(ask(f"{url}/api/columns", headers=bearer(people.token("narrow"))).body)
    assert not any(column["isRedacted"] for column in everything["columns"])
    left_out = {c["name"] for c in everything["columns"]} - {c["name"] for c in narrow["columns"]}
    assert left_out == {"stack_trace", "source"}
    assert [column["name"] for column in narrow["columns"] if column["isRedacted"]] == ["thread_name"]
    assert [one["shortName"] for one in narrow["eventTypes"]] == ["START", "END"]
    assert set(everything["groupBy"]) - set(narrow["groupBy"]) == {"stack", "source", "thread_name"}


def test_on_one_connection_each_request_has_its_own_caller(
    people: People, url: str, example_events: list[Event]
) -> None:
    with ExportClient(people.server.address, token=people.token("writer")) as client:
        client.ingest_events(example_events)
    callers = {role: bearer(people.token(role)) for role in ("reader", "narrow")}
    names = {"reader": "VT-1", "narrow": None}
    connection = HTTPConnection(urlsplit(url).netloc, timeout=30)
    with closing(connection):
        for role in ("reader", "narrow", "reader", "nobody", "narrow"):
            connection.request("GET", "/api/events?columns=thread_name", headers=callers.get(role, {}))
            response = connection.getresponse()
            body = response.read()
            if role == "nobody":
                assert response.status == 401
                assert b"VT-1" not in body
            else:
                seen = [event.get("threadName") for event in json.loads(body)["events"]]
                assert seen == [names[role]] * len(example_events)
