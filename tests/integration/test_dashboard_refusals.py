"""What does not fit is refused by name, whatever path it comes to, and the page is kept to itself."""

import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urlencode

import pytest

from tests.conftest import RunningServer
from tests.dashboard import curl, dashboard_process, get_json, needs_curl

pytestmark = needs_curl

PATHS = ("/export", "/api/plan", "/api/events", "/api/follow", "/api/aggregate")


@pytest.fixture(scope="module")
def url(shared_server: RunningServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with dashboard_process(tmp_path_factory.mktemp("dashboard"), shared_server.address) as dashboard:
        yield dashboard.url


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("from", "yesterday", "write 2024-01-31"),
        ("from", "2024-02-31", "day is out of range"),
        ("from", "2400-01-01", "64 bits"),
        ("to", "", "write 2024-01-31"),
        ("last", "15", "1h30m"),
        ("last", "999999999d", "64 bits"),
        ("type", "START,NOPE", "PINNED"),
        ("type", "", "PINNED"),
        ("source", "a\0b", "text without NUL"),
        ("source", "a\0b*", "text without NUL"),
        ("source", "a*b", "a * at the end"),
        ("thread_name_regex", "(", "RE2"),
        ("thread_name", "x" * 1001, "at most 1000 characters"),
        ("thread_id", "1,x", "a whole number"),
        ("carrier_thread", "1.5", "a whole number"),
        ("min_duration", "-1s", "10ms"),
        ("max_duration", "10", "10ms"),
        ("after_sequence", "-1", "from 0 to"),
        ("nope", "1", "one of "),
    ],
)
def test_a_bad_value_is_named(url: str, path: str, name: str, value: str, allowed: str) -> None:
    problem = get_json(f"{url}{path}?{urlencode({name: value})}", status=400)
    assert problem["type"] == "urn:argus-export:problem:invalid-request"
    assert (problem["title"], problem["status"]) == ("Bad Request", 400)
    [error] = problem["errors"]
    assert error["parameter"] == name
    assert allowed in error["allowed"]
    assert error["value"] in (value, f"{value[:200]}… ({len(value)} characters)", value.rpartition(",")[2])
    assert problem["detail"] == f"{name}: {error['detail']}"


@pytest.mark.parametrize(
    ("target", "parameter"),
    [
        ("/export?limit=0", "limit"),
        ("/export?limit=9223372036854775808", "limit"),
        ("/export?limit=%D9%A3", "limit"),
        ("/export?format=CSV", "format"),
        ("/export?order=up", "order"),
        ("/export?metadata=yes", "metadata"),
        ("/export?header=none", "header"),
        ("/export?time_precision=h", "time_precision"),
        ("/export?excel=1", "excel"),
        ("/export?compress=br", "compress"),
        ("/export?format=json&excel=true", "excel"),
        ("/export?format=jsonl&header=titles", "header"),
        ("/export?columns=timestamp,", "columns"),
        ("/export?columns=all,timestamp", "columns"),
        ("/export?columns=nope", "columns"),
        ("/export?columns=timestamp&columns=timestamp", "columns"),
        ("/export?to=2024-01-01&from=2024-01-02", "to"),
        ("/export?min_duration=2s&max_duration=1s", "max_duration"),
        ("/export?from=2024-01-01&last=1h", "last"),
        ("/export?thread_name=a&thread_name_regex=b", "thread_name_regex"),
        ("/export?limit=1&limit=2", "limit"),
        ("/export?thread_name=%FF", "query"),
        ("/api/events?limit=1001", "limit"),
        ("/api/plan?limit=1", "limit"),
        ("/api/columns?type=PINNED", "type"),
        ("/healthz?x", "x"),
        ("/openapi.json?x=1", "x"),
        ("/api/aggregate?by=nope", "by"),
        ("/api/aggregate?by=time:0s", "by"),
        ("/api/aggregate?by=source,source", "by"),
        ("/api/aggregate?measure=p98:duration_ns", "measure"),
        ("/api/aggregate?measure=p99:thread_name", "measure"),
    ],
)
def test_what_does_not_go_is_named(url: str, target: str, parameter: str) -> None:
    problem = get_json(url + target, status=400)
    assert [error["parameter"] for error in problem["errors"]] == [parameter]
    assert curl(url + target, "--head").status == 400


def test_all_mistakes_are_told_at_once(url: str) -> None:
    problem = get_json(f"{url}/export?limit=x&nope=1&from=y&type=GC_PAUSE", status=400)
    assert {error["parameter"] for error in problem["errors"]} == {"limit", "nope", "from"}


@pytest.mark.parametrize("target", ["/nope", "/api", "/api/plan/", "/static/../main.py", "/static/nope.js"])
def test_what_is_not_there_is_a_problem(url: str, target: str) -> None:
    assert get_json(url + target, "--path-as-is", status=404)["title"] == "Not Found"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
@pytest.mark.parametrize("path", [*PATHS, "/", "/healthz", "/static/index.html"])
def test_other_methods_are_told_which_there_are(url: str, path: str, method: str) -> None:
    answer = curl(url + path, "--request", method)
    assert answer.status == 405
    assert answer.headers["content-type"] == "application/problem+json"
    assert {name.strip() for name in answer.headers["allow"].split(",")} == {"GET", "HEAD"}


def test_a_form_of_another_kind_is_told_which_one_is_allowed(url: str) -> None:
    media_type = "text/" + "x" * 5_000
    flags = ("--request", "POST", "--data", "a=b", "--header", f"Content-Type: {media_type}")
    told = get_json(f"{url}/logout", *flags, status=415)["detail"]
    shown = f"'{media_type[:200]}… ({len(media_type)} characters)'"
    assert told == f"Content-Type {shown} is not allowed; allowed: application/x-www-form-urlencoded"


def test_who_hangs_up_within_a_form_is_no_error(shared_server: RunningServer, tmp_path: Path) -> None:
    with dashboard_process(tmp_path, shared_server.address) as dashboard:
        host, _, port = dashboard.address.rpartition(":")
        with socket.create_connection((host, int(port)), 30) as connection:
            connection.sendall(
                f"POST /logout HTTP/1.1\r\nHost: {dashboard.address}\r\nContent-Length: 7\r\n\r\ntok".encode()
            )
            connection.shutdown(socket.SHUT_WR)
            # The dashboard has noticed when it ends the connection too.
            assert connection.recv(1) == b""
        assert curl(f"{dashboard.url}/healthz").status == 200
        dashboard.stop(signal.SIGTERM)
        assert "request failed" not in dashboard.log.read_text()


@pytest.mark.parametrize("host", ["rebound.example", "127.0.0.1.rebound.example:80", "10.0.0.1", "[::2]:1"])
def test_a_foreign_host_name_is_refused(url: str, host: str) -> None:
    for path in ("/", "/export", "/static/index.html", "/nope"):
        assert get_json(url + path, "--header", f"Host: {host}", status=421)["title"] == "Misdirected Request"


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:9", "127.0.0.1:80", "127.1.2.3", "[::1]:8080"])
def test_this_machine_s_own_names_are_taken(url: str, host: str) -> None:
    assert curl(f"{url}/api/plan", "--header", f"Host: {host}").status == 200


def test_every_answer_keeps_browsers_strict(url: str) -> None:
    for path in ("/", "/static/index.html", "/static/plotly.min.js", "/export", "/nope", "/api/plan?x"):
        headers = curl(url + path).headers
        assert headers["content-security-policy"].startswith("default-src 'self'; ")
        assert "unsafe-eval" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert "server" not in headers


def test_plotly_comes_from_here_compressed_and_is_kept(url: str) -> None:
    path = f"{url}/static/plotly.min.js"
    plain, packed = curl(path), curl(path, "--compressed")
    assert plain.body == packed.body
    assert packed.headers["content-encoding"] == "gzip"
    assert "max-age=" in plain.headers["cache-control"]
    again = curl(path, "--header", f"If-None-Match: {plain.headers['etag']}")
    assert (again.status, again.body) == (304, b"")
    assert plain.headers["etag"] != packed.headers["etag"]


def test_a_long_query_is_taken(url: str) -> None:
    sources = "&".join(f"source={quote(f'jvm-{number}')}" for number in range(1_000))
    assert get_json(f"{url}/api/plan?{sources}")["totalEvents"] == 0
    assert curl(f"{url}/export?{sources}").status == 200
    problem = get_json(f"{url}/api/plan?{sources}&source=one+more", status=400)
    assert problem["errors"][0]["parameter"] == "source"
