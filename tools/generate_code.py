"""Generates argus_grpc/v1 from protos/; with --check, says whether what is committed is just that."""

import argparse
import difflib
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
PROTOS = ROOT / "protos"
PACKAGE = Path("argus_grpc/v1")


def _protoc(options: list[str], protos: list[Path]) -> None:
    # protoc looks for its plugins on PATH; ours are beside this Python.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    subprocess.run(
        [sys.executable, "-m", "grpc_tools.protoc", f"-I{PROTOS}", *options, *map(str, protos)],
        env={**os.environ, "PATH": path},
        check=True,
    )


def generate(folder: Path) -> dict[str, str]:
    """Generates into a folder; gives the files by their names, such as event_pb2.py."""
    protos = sorted((PROTOS / PACKAGE).glob("*.proto"))
    with_services = [p for p in protos if re.search(r"^service ", p.read_text(), re.MULTILINE)]
    _protoc([f"--python_out={folder}", f"--mypy_out=quiet,readable_stubs:{folder}"], protos)
    _protoc([f"--grpc_python_out={folder}", f"--mypy_grpc_out=quiet:{folder}"], with_services)
    return _generated_files(folder)


def _generated_files(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in sorted((folder / PACKAGE).glob("*_pb2*.py*"))}


def _differences(committed: dict[str, str], fresh: dict[str, str]) -> list[str]:
    lines: list[str] = []
    for name in sorted(committed.keys() | fresh.keys()):
        before, after = committed.get(name, ""), fresh.get(name, "")
        lines += difflib.unified_diff(
            before.splitlines(),
            after.splitlines(),
            f"{PACKAGE / name}",
            f"{PACKAGE / name} (fresh)",
            lineterm="",
        )
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; fail if something would change")
    check: bool = parser.parse_args().check

    with tempfile.TemporaryDirectory() as folder:
        fresh = generate(Path(folder))
    committed = _generated_files(ROOT)
    if committed == fresh:
        print(f"{PACKAGE}: up to date with protos/")
        return 0
    if check:
        # A changed descriptor is one long line of escapes.
        print("\n".join(line[:200] for line in _differences(committed, fresh)))
        print(f"{PACKAGE} is not what protos/ gives; run `make generate`", file=sys.stderr)
        return 1
    for name in committed.keys() - fresh.keys():
        (ROOT / PACKAGE / name).unlink()
    for name, text in fresh.items():
        (ROOT / PACKAGE / name).write_text(text)
    print(f"{PACKAGE}: generated")
    return 0


if __name__ == "__main__":
    sys.exit(main())
