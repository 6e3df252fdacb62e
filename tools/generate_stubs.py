"""Generates and compiles Go, Java and TypeScript stubs from protos/, for the tools that are here.

A language whose tools are missing is left out, and said; with none of the three it fails. The versions of
all generators are pinned in clients/go/go.mod, clients/java/pom.xml and clients/node/package-lock.json.
"""

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PROTOS = ROOT / "protos"
GO, JAVA, NODE = (ROOT / "clients" / name for name in ("go", "java", "node"))
GO_PLUGINS = ROOT / "build" / "go-plugins"
GO_MODULE = "argus.dev/export"


@dataclass(frozen=True)
class Language:
    """One language: the programs that it needs, and what makes its stubs and says where they are."""

    programs: tuple[str, ...]
    generate: Callable[[], Path]


def _run(*command: str, folder: Path = ROOT, env: Mapping[str, str] | None = None) -> None:
    print("$", *command, flush=True)
    subprocess.run(command, cwd=folder, env={**os.environ, **(env or {})}, check=True)


def _protoc(plugins: Sequence[str], options: Sequence[str]) -> None:
    protos = sorted(str(path.relative_to(PROTOS)) for path in PROTOS.rglob("*.proto"))
    named = [f"--plugin={plugin}" for plugin in plugins]
    _run(sys.executable, "-m", "grpc_tools.protoc", f"-I{PROTOS}", *named, *options, *protos)


def _go() -> Path:
    out = GO / "argus_grpc"
    shutil.rmtree(out, ignore_errors=True)
    _run("go", "install", "tool", folder=GO, env={"GOBIN": str(GO_PLUGINS)})
    _protoc(
        [str(GO_PLUGINS / "protoc-gen-go"), str(GO_PLUGINS / "protoc-gen-go-grpc")],
        [
            f"--go_out={GO}",
            f"--go_opt=module={GO_MODULE}",
            f"--go-grpc_out={GO}",
            f"--go-grpc_opt=module={GO_MODULE}",
        ],
    )
    _run("go", "vet", "./...", folder=GO)
    return out


def _java() -> Path:
    # Maven brings protoc's Java generator and gRPC's plugin itself: grpcio-tools has neither.
    _run("mvn", "--batch-mode", "--quiet", "--no-transfer-progress", "clean", "compile", folder=JAVA)
    return JAVA / "target" / "generated-sources" / "protobuf"


def _node() -> Path:
    out = NODE / "gen"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    _run("npm", "ci", "--no-progress", folder=NODE)
    options = (
        "env=node,esModuleInterop=true,forceLong=bigint,importSuffix=.js,outputServices=grpc-js,useDate=false"
    )
    _protoc(
        [str(NODE / "node_modules" / ".bin" / "protoc-gen-ts_proto")],
        [f"--ts_proto_out={out}", f"--ts_proto_opt={options}"],
    )
    _run("npm", "run", "--silent", "typecheck", folder=NODE)
    return out


LANGUAGES = {
    "go": Language(("go",), _go),
    "java": Language(("java", "mvn"), _java),
    "node": Language(("node", "npm"), _node),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("languages", nargs="*", metavar="LANGUAGE", help="go, java, node; none: all three")
    chosen: list[str] = parser.parse_args().languages or list(LANGUAGES)
    if unknown := [name for name in chosen if name not in LANGUAGES]:
        parser.error(f"{', '.join(unknown)}: choose from {', '.join(LANGUAGES)}")

    outcome: dict[str, str] = {}
    for name in chosen:
        language = LANGUAGES[name]
        if missing := [program for program in language.programs if not shutil.which(program)]:
            outcome[name] = f"left out: {' and '.join(missing)} not found on PATH"
            continue
        try:
            outcome[name] = f"in {language.generate().relative_to(ROOT)}"
        except subprocess.CalledProcessError as error:
            print(
                f"{name}: {Path(error.cmd[0]).name} failed with exit code {error.returncode}", file=sys.stderr
            )
            return 1
    for name, line in outcome.items():
        print(f"{name}: {line}")
    if not any(line.startswith("in ") for line in outcome.values()):
        print("no stubs were generated", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
