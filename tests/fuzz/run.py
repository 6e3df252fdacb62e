"""Runs the process that tries inputs, again whenever one has killed it, and keeps those that did."""

import hashlib
import itertools
import os
import signal
import struct
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.fuzz.child import COUNT_BYTES
from tests.fuzz.door import load_door

# Beyond these there is something to mend first.
_MAX_FINDINGS = 20
_SHOWN_CHARACTERS = 4_000
_START_S = 60
# The libraries lose some bytes with every input, which over hours would come to more than one input may take.
_PROCESS_S = 600.0


@dataclass
class Fuzzed:
    """What came of it: how many inputs were tried, in how many seconds, and the files of the findings."""

    executions: int = 0
    seconds: float = 0.0
    findings: list[Path] = field(default_factory=list)


def fuzz(name: str, seconds: float, seed: int, engine: str, findings: Path) -> Fuzzed:
    """Tries inputs at a door for so long; when one kills the process, and after _PROCESS_S, goes on in
    another with another seed."""
    fuzzed = Fuzzed()
    seeds = itertools.count(seed)
    began_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="argus-fuzz-") as folder:
        while (left_s := began_s + seconds - time.monotonic()) > 0 and len(fuzzed.findings) < _MAX_FINDINGS:
            process_s = min(left_s, _PROCESS_S)
            options = (name, engine, str(process_s), str(next(seeds)), folder)
            why = _run(Path(folder), process_s, "fuzz", *options)
            fuzzed.executions += _count(Path(folder))
            if why is not None:
                fuzzed.findings.append(_keep(Path(folder, "current").read_bytes(), why, findings / name))
    fuzzed.seconds = time.monotonic() - began_s
    return fuzzed


def replay(name: str, files: list[str]) -> int:
    """Tries these inputs once each, and says what comes of it; the number of findings."""
    found = 0
    for file in files:
        with tempfile.TemporaryDirectory(prefix="argus-fuzz-") as folder:
            why = _run(Path(folder), load_door(name).timeout_s, "replay", name, folder, file)
        print(f"{file}: {why or 'as it should be'}")
        found += why is not None
    return found


def _run(folder: Path, seconds: float, *arguments: str) -> str | None:
    """Runs the child; None if it ended well, else what happened."""
    (folder / "count").write_bytes(bytes(COUNT_BYTES))
    command = [sys.executable, "-X", "faulthandler", "-m", "tests.fuzz.child", *arguments]
    log = folder / "log"
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as process:
        try:
            # The child ends itself; this is for one whose alarm does not come either.
            status = process.wait(seconds + _START_S + load_door(arguments[1]).timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            status = -signal.SIGKILL
    if status == 0:
        return None
    said = log.read_text(errors="replace")[-_SHOWN_CHARACTERS:]
    if status in (-signal.SIGALRM, -signal.SIGKILL):
        return f"it hung\n{said}"
    how = f"was killed by {signal.Signals(-status).name}" if status < 0 else "failed"
    return f"it {how}\n{said}"


def _count(folder: Path) -> int:
    (count,) = struct.unpack("<Q", (folder / "count").read_bytes())
    return int(count)


def _keep(data: bytes, why: str, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / hashlib.sha256(data).hexdigest()[:16]
    file.write_bytes(data)
    file.with_suffix(".txt").write_text(why)
    print(f"{os.fspath(file)}: {why}", file=sys.stderr, flush=True)
    return file
