"""What an index knows of locked releases, and that not knowing is not told as knowing of none."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tools import check_vulnerabilities
from tools.check_vulnerabilities import FOUND, NOT_KNOWN, check, locked_releases, main

KNOWN = {"id": "PYSEC-1", "aliases": ["CVE-1"], "fixed_in": ["2.0"], "withdrawn": None}
LOCK = """\
# from an index
sound==1.0 \\
    --hash=sha256:00
    # via
    #   other
weak-one==1.2.3rc1 ; sys_platform == 'linux' \\
    --hash=sha256:11
"""


@contextmanager
def index(answers: dict[str, Any]) -> Iterator[str]:
    """An index that tells these of NAME/VERSION, and of others nothing."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            release = self.path.removeprefix("/some/pypi/").removesuffix("/json")
            self.send_response(200 if release in answers else 404)
            self.end_headers()
            self.wfile.write(json.dumps(answers.get(release)).encode())

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        yield f"http://127.0.0.1:{server.server_port}/some/simple/"
        server.shutdown()
        serving.join()


def test_releases_of_a_lock() -> None:
    assert locked_releases(LOCK) == [("sound", "1.0"), ("weak-one", "1.2.3rc1")]


@pytest.mark.parametrize(
    ("answer", "code", "told"),
    [
        ({"vulnerabilities": []}, 0, "2 releases, no known"),
        ({"vulnerabilities": [KNOWN | {"withdrawn": "2024"}]}, 0, "2 releases, no known"),
        ({"vulnerabilities": [KNOWN]}, FOUND, "weak-one 1.2.3rc1: PYSEC-1, CVE-1; mended in 2.0"),
        ({"info": {}}, NOT_KNOWN, "of 1 of 2 releases nothing is known"),
        (None, NOT_KNOWN, "not known: weak-one"),
    ],
)
def test_what_is_told(answer: Any, code: int, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    with index({"sound/1.0": {"vulnerabilities": []}, "weak-one/1.2.3rc1": answer}) as url:
        assert check(url, locked_releases(LOCK)) == code
    output = capsys.readouterr()
    assert told in output.out + output.err


def test_nobody_to_ask_is_no_success(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(check_vulnerabilities, "index_url", lambda: None)
    assert main() == NOT_KNOWN
    assert "nothing could be asked" in capsys.readouterr().err
    assert check("http://127.0.0.1:1/simple", [("a", "1")]) == NOT_KNOWN
