"""Says which packages of requirements.lock have known vulnerabilities, by the index that pip is set up for.

An index that speaks PyPI's JSON API tells them of each release. Where one does not, or cannot be reached,
nothing is known, and that is said: exit code 2. 1: there are some; 0: all were asked about, and none has any.
"""

import json
import os
import re
import subprocess
import sys
import urllib.parse
import urllib.request
from collections.abc import Iterable, Iterator
from typing import Any

from tools.check_lock import LOCK

FOUND, NOT_KNOWN = 1, 2
_TIMEOUT_S = 30


class NotTold(Exception):
    """The index does not say what is known of a release."""


def index_url() -> str | None:
    """The simple index of pip's configuration; None if it names none."""
    if url := os.environ.get("PIP_INDEX_URL"):
        return url
    command = [sys.executable, "-m", "pip", "config", "get", "global.index-url"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() or None


def locked_releases(lock: str) -> list[tuple[str, str]]:
    """Names and versions of all that is locked, for whatever machine."""
    return re.findall(r"^([a-z0-9][\w.-]*)==([^\s;\\]+)", lock, re.MULTILINE)


def vulnerabilities(index: str, name: str, version: str) -> Iterator[str]:
    """What the index knows of a release: ids, and the versions in which it is mended. Raises NotTold."""
    # PyPI's JSON API: https://docs.pypi.org/api/json
    url = f"{index.rstrip('/').removesuffix('/simple')}/pypi/{name}/{version}/json"
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as answer:
            told: dict[str, Any] = json.load(answer)
        known = told["vulnerabilities"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise NotTold(f"{name} {version}: {error!r}") from error
    for one in known:
        if not one.get("withdrawn"):
            names = ", ".join([one["id"], *one.get("aliases", ())])
            yield f"{name} {version}: {names}; mended in {', '.join(one.get('fixed_in') or ['no release'])}"


def check(index: str, releases: Iterable[tuple[str, str]]) -> int:
    """Prints what is known of the releases, each a name and a version; the exit code."""
    found, not_told, asked = 0, 0, 0
    for name, version in releases:
        asked += 1
        try:
            for told in vulnerabilities(index, name, version):
                found += 1
                print(told)
        except NotTold as error:
            not_told += 1
            print(f"not known: {error}", file=sys.stderr)
    if not_told:
        print(f"of {not_told} of {asked} releases nothing is known: the index does not tell", file=sys.stderr)
        return NOT_KNOWN
    print(f"{asked} releases, {found or 'no'} known vulnerabilities")
    return FOUND if found else 0


def main() -> int:
    index = index_url()
    if index is None:
        print("nothing could be asked: pip's configuration names no index (PIP_INDEX_URL)", file=sys.stderr)
        return NOT_KNOWN
    if urllib.parse.urlsplit(index).scheme not in ("http", "https"):
        print(f"nothing could be asked: {index} is no http index", file=sys.stderr)
        return NOT_KNOWN
    wanted = set(sys.argv[1:])
    return check(index, [one for one in locked_releases(LOCK.read_text()) if not wanted or one[0] in wanted])


if __name__ == "__main__":
    sys.exit(main())
