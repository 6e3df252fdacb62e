"""A `java` that can follow a Flight Recorder repository."""

import os
import re
import shutil
import subprocess
from pathlib import Path

from argus_client.errors import SourceError

_NEEDED = ("jdk.compiler", "jdk.jfr")
_MIN_VERSION = 17
_MODULE = re.compile(r"(?P<name>[\w.]+)(?:@(?P<version>\d+).*)?")


def find_java(program: str | None = None) -> str:
    """The `java` program: the one given, by path or name; else the first one that will do, on PATH or in
    JAVA_HOME's bin. Raises SourceError that says what is missing if there is none."""
    if program is not None:
        found = shutil.which(program)
        if found is None:
            raise SourceError(f"the java program {program!r} is not there, or cannot be run")
        candidates = [found]
    else:
        folders = [None, *([Path(home, "bin")] if (home := os.environ.get("JAVA_HOME")) else [])]
        paths = (shutil.which("java", path=None if folder is None else str(folder)) for folder in folders)
        candidates = [path for path in paths if path is not None]
    lacks = []
    for candidate in candidates:
        lack = _lack(candidate)
        if lack is None:
            return candidate
        lacks.append(f"{candidate} {lack}")
    why = "; ".join(lacks) or "none was found on PATH or in JAVA_HOME"
    raise SourceError(
        f"a JVM's repository is followed with the java program of a JDK, {_MIN_VERSION} or later: {why}; "
        "name one with --java"
    )


def _lack(program: str) -> str | None:
    try:
        told = subprocess.run(
            [program, "--list-modules"], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError) as error:
        return f"cannot be run ({error})"
    versions = {m["name"]: m["version"] for m in map(_MODULE.fullmatch, told.stdout.splitlines()) if m}
    version = versions.get("java.base")
    if version is not None and int(version) < _MIN_VERSION:
        return f"is Java {version}"
    missing = [name for name in _NEEDED if name not in versions]
    return f"has no module {' and no '.join(missing)}: it is of a JRE" if missing else None
