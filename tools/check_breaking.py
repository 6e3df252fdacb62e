"""Says whether the contract breaks the one before it: the last release's, else main's.

Works on whatever the clone has. A shallow clone without a release tag and without main has nothing to
compare with: that is said, and is not a failure.
"""

import io
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]


def _git(*arguments: str) -> bytes | None:
    """What git prints; None when it fails, as it does for a name that it does not know."""
    done = subprocess.run(["git", "-C", ROOT, *arguments], capture_output=True, check=False)
    return done.stdout if done.returncode == 0 else None


def _baseline() -> str | None:
    """The newest release tag, else main, as far as this clone has them."""
    releases = (_git("tag", "--list", "v*", "--sort=-version:refname") or b"").decode().split()
    for name in [*releases[:1], "main", "origin/main"]:
        if _git("rev-parse", "--verify", "--quiet", f"{name}:protos/buf.yaml"):
            return name
    return None


def main() -> int:
    baseline = _baseline()
    if baseline is None:
        print("contract: no release tag and no main branch in this clone; nothing to compare with")
        return 0
    archive = _git("archive", "--format=tar", f"{baseline}:protos")
    if archive is None:
        print(f"contract: git cannot read protos/ at {baseline}", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(fileobj=io.BytesIO(archive)) as files:
            files.extractall(folder, filter="data")
        buf = Path(sys.executable).with_name("buf")
        done = subprocess.run([buf, "breaking", ROOT / "protos", "--against", folder], check=False)
    if done.returncode == 0:
        print(f"contract: breaks nothing of {baseline}")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
