"""`make fuzz`: hostile input at every door, or at one, for so many seconds.

A finding is an input that crashes, hangs or makes a process grow, or that is answered by anything but the
right result or an error that is meant for it. It is kept in a file, which --replay tries again.
"""

import argparse
import importlib.util
import random
import sys
from pathlib import Path

from tests.fuzz.door import door_names
from tests.fuzz.run import Fuzzed, fuzz, replay


def main() -> None:
    options = _parse_options()
    if options.replay:
        sys.exit(replay(options.door, options.replay))
    names = door_names() if options.door == "all" else [options.door]
    seed = options.seed if options.seed is not None else random.randrange(1, 2**31)
    fuzzed = []
    for name in names:
        fuzzed.append(fuzz(name, options.seconds / len(names), seed, options.engine, options.findings))
        print(_told(name, fuzzed[-1]), flush=True)
    if found := [file for one in fuzzed for file in one.findings]:
        sys.exit(
            f"{len(found)} findings with --seed {seed}; each again: python -m tests.fuzz DOOR --replay FILE"
        )


def _parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("door", choices=("all", *door_names()), nargs="?", default="all")
    parser.add_argument("--seconds", type=float, default=60, help="for all doors together (default: 60)")
    parser.add_argument(
        "--seed", type=int, help="the same seed makes the same inputs (default: another each time)"
    )
    parser.add_argument(
        "--engine",
        choices=("ours", "atheris"),
        default="ours",
        help="what makes the inputs; atheris, where it is installed, by our code's coverage (default: ours)",
    )
    parser.add_argument(
        "--findings", type=Path, default=Path("out/fuzz"), help="where findings are kept (default: out/fuzz)"
    )
    parser.add_argument("--replay", nargs="+", metavar="FILE", help="try these inputs at the door")
    options = parser.parse_args()
    if options.replay and options.door == "all":
        parser.error("--replay needs the door")
    if options.engine == "atheris" and importlib.util.find_spec("atheris") is None:
        parser.error("atheris is not installed; pip install atheris")
    return options


def _told(name: str, fuzzed: Fuzzed) -> str:
    found = f"{len(fuzzed.findings)} findings" if fuzzed.findings else "nothing found"
    files = "".join(f"\n  {file}" for file in fuzzed.findings)
    return f"{name:<10} {fuzzed.executions:>10,} inputs in {fuzzed.seconds:6.1f} s: {found}{files}"


if __name__ == "__main__":
    main()
