"""Which java follows a repository, and what is said if there is none, with programs that play one."""

from pathlib import Path

import pytest

from argus_client.collect.java_program import find_java
from argus_client.errors import SourceError

JDK = ["java.base@21.0.5", "jdk.compiler@21.0.5", "jdk.jfr@21.0.5"]


def make_java(folder: Path, modules: list[str], status: int = 0) -> Path:
    program = folder / "bin" / "java"
    program.parent.mkdir(parents=True)
    lines = "".join(f"echo {module}\n" for module in modules)
    program.write_text(f"#!/bin/sh\n{lines}exit {status}\n")
    program.chmod(0o755)
    return program


@pytest.fixture(autouse=True)
def _nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("JAVA_HOME", raising=False)


def test_the_first_that_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = make_java(tmp_path / "old", ["java.base@11.0.2", "jdk.compiler@11.0.2", "jdk.jfr@11.0.2"])
    jdk = make_java(tmp_path / "jdk", JDK)
    monkeypatch.setenv("PATH", str(old.parent))
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "jdk"))
    assert find_java() == str(jdk)
    assert find_java(str(jdk)) == str(jdk)
    with pytest.raises(SourceError, match="java is Java 11; name one with --java"):
        find_java(str(old))


@pytest.mark.parametrize(
    ("modules", "status", "why"),
    [
        (["java.base@17", "jdk.jfr@17"], 0, "has no module jdk.compiler: it is of a JRE"),
        (["java.base@17.0.1"], 0, "has no module jdk.compiler and no jdk.jfr: it is of a JRE"),
        ([], 1, r"cannot be run \(Command .* returned non-zero exit status 1\.\)"),
    ],
)
def test_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, modules: list[str], status: int, why: str
) -> None:
    monkeypatch.setenv("PATH", str(make_java(tmp_path, modules, status).parent))
    with pytest.raises(SourceError, match=f"of a JDK, 17 or later: .*java {why}; name one"):
        find_java()


def test_none_at_all() -> None:
    with pytest.raises(SourceError, match="none was found on PATH or in JAVA_HOME"):
        find_java()
