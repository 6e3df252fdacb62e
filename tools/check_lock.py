"""Says whether requirements.lock still fits pyproject.toml, and .venv the lock. Needs no network.

The lock fits when the packages that it has for this machine are just those that pyproject.toml's
requirements lead to, each within the bounds of all that require it, each with a hash, and none with the
address of a registry.
"""

import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
LOCK = ROOT / "requirements.lock"
EXTRAS = ("server", "dashboard", "otel", "jfr")
_ENTRY = re.compile(
    r"^(?P<requirement>[a-z0-9][^\s;]*==[^\\\n]+?)\s*\\\n(?P<hashes>(?:\s+--hash=\S+.*\n)+)", re.M
)


def _required() -> Iterator[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    tables = [
        project["project"]["dependencies"],
        *(project["project"]["optional-dependencies"][extra] for extra in EXTRAS),
        project["dependency-groups"]["dev"],
        project["tool"]["uv"]["constraint-dependencies"],
    ]
    for table in tables:
        yield from map(Requirement, table)


def _applies(requirement: Requirement, extras: set[str]) -> bool:
    marker = requirement.marker
    return marker is None or any(marker.evaluate({"extra": extra}) for extra in extras or {""})


def _locked(text: str) -> dict[str, str]:
    """Version by name, of the packages for this machine."""
    pins = map(Requirement, (match["requirement"] for match in _ENTRY.finditer(text)))
    return {
        canonicalize_name(pin.name): next(iter(pin.specifier)).version for pin in pins if _applies(pin, set())
    }


def find_faults() -> list[str]:
    """What does not fit, a sentence each."""
    text = LOCK.read_text()
    locked = _locked(text)
    faults = [f"line {text[: m.start()].count(chr(10)) + 1} has an address" for m in re.finditer("://", text)]
    if len(re.findall(r"^[a-z0-9]\S*==", text, re.M)) != len(_ENTRY.findall(text)):
        faults.append("not every package has a hash")

    open_, seen, reached = list(_required()), set[str](), set[str]()
    while open_:
        requirement = open_.pop()
        name = canonicalize_name(requirement.name)
        if str(requirement) in seen:
            continue
        seen.add(str(requirement))
        if name not in locked:
            faults.append(f"{requirement} is not in the lock")
            continue
        reached.add(name)
        if not requirement.specifier.contains(locked[name], prereleases=True):
            faults.append(f"{requirement} does not take the lock's {locked[name]}")
        try:
            installed = distribution(name)
        except PackageNotFoundError:
            faults.append(f"{name} is not installed")
            continue
        if installed.version != locked[name]:
            faults.append(f"{name} {installed.version} is installed, the lock has {locked[name]}")
        needs = map(Requirement, installed.requires or [])
        open_ += (need for need in needs if _applies(need, requirement.extras | {""}))
    faults += (f"{name} is in the lock, but nothing requires it" for name in sorted(locked.keys() - reached))
    return faults


def main() -> int:
    faults = find_faults()
    for fault in faults:
        print(f"{LOCK.name}: {fault}", file=sys.stderr)
    if faults:
        print("run `make lock`, then `make setup`", file=sys.stderr)
        return 1
    print(f"{LOCK.name}: fits pyproject.toml")
    return 0


if __name__ == "__main__":
    sys.exit(main())
