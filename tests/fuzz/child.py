"""The process that an input may kill: hands inputs to one door, and says first which.

Two engines make inputs. Ours changes real ones blindly, the same for the same seed. Atheris, where it is
installed, follows which of our code an input reaches, and keeps those that reach more.
"""

import faulthandler
import mmap
import os
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from random import Random

from tests.fuzz.door import Attempt, Door, load_door, real_inputs
from tests.processes import peak_bytes

COUNT_BYTES = 8
_STATUS = Path("/proc/self/status")
_SPLICES = 0.1
_FRESH = 0.02


class GrewTooMuch(Exception):
    """The process takes more memory than an input may cost."""


class Unraisable(Exception):
    """An error was raised where nobody can catch it: by itself, Python only prints it."""


class Watched:
    """Runs attempts so that another process can tell what became of each: `current` holds the input and
    `count` how many there were. One that hangs is ended by SIGALRM."""

    def __init__(self, attempt: Attempt, door: Door, folder: Path) -> None:
        self._attempt = attempt
        self._timeout_s = door.timeout_s
        self._max_growth_bytes = door.max_growth_bytes
        self._max_bytes = sys.maxsize
        self._unraisable: list[sys.UnraisableHookArgs] = []
        sys.unraisablehook = self._unraisable.append
        self._current = os.open(folder / "current", os.O_RDWR | os.O_CREAT)
        # Where it hangs is said before the signal ends it.
        faulthandler.register(signal.SIGALRM, chain=True)
        with (folder / "count").open("r+b") as file:
            self._count = mmap.mmap(file.fileno(), COUNT_BYTES)

    def __call__(self, data: bytes) -> None:
        os.ftruncate(self._current, 0)
        os.pwrite(self._current, data, 0)
        signal.alarm(self._timeout_s)
        self._attempt(data)
        signal.alarm(0)
        if self._unraisable:
            # Where a collection of garbage has raised it, its input may be an earlier one.
            raise Unraisable(f"in {self._unraisable[0].object!r}") from self._unraisable[0].exc_value
        (count,) = struct.unpack("<Q", self._count[:])
        self._count[:] = struct.pack("<Q", count + 1)
        peak = _peak_bytes()
        if peak > self._max_bytes:
            raise GrewTooMuch(f"{peak:,} bytes are taken, where {self._max_bytes:,} are allowed")

    def begin(self) -> None:
        """The real inputs have been tried: from now on growth counts."""
        self._max_bytes = _peak_bytes() + self._max_growth_bytes


def _peak_bytes() -> int:
    # Not getrusage(), whose peak begins at the parent's.
    return peak_bytes(_STATUS) if _STATUS.exists() else 0


def main(name: str, engine: str, seconds: str, seed: str, folder: str) -> None:
    run = _run_atheris if engine == "atheris" else _run_ours
    run(name, float(seconds), int(seed), Path(folder))


def replay(name: str, folder: str, *files: str) -> None:
    door = load_door(name)
    with door.open() as attempt:
        watched = Watched(attempt, door, Path(folder))
        watched.begin()
        for file in files:
            watched(Path(file).read_bytes())


def _run_ours(name: str, seconds: float, seed: int, folder: Path) -> None:
    ends_s = time.monotonic() + seconds
    door = load_door(name)
    random = Random(seed)
    with door.open() as attempt:
        inputs = real_inputs(name, door)
        watched = Watched(attempt, door, folder)
        for data in inputs:
            watched(data)
        watched.begin()
        while time.monotonic() < ends_s:
            watched(_make(random, inputs, door))


def _make(random: Random, inputs: list[bytes], door: Door) -> bytes:
    if random.random() < _FRESH:
        return random.randbytes(random.randrange(200))
    data = random.choice(inputs)
    if random.random() < _SPLICES:
        other = random.choice(inputs)
        data = data[: random.randrange(len(data) + 1)] + other[random.randrange(len(other) + 1) :]
    return door.mutate(random, data, door.words)[: door.max_bytes]


def _run_atheris(name: str, seconds: float, seed: int, folder: Path) -> None:
    import atheris

    follows = _follows(name)
    with atheris.instrument_imports(include=follows, enable_loader_override=False):
        for module in follows:
            __import__(module)
        door = load_door(name)
    corpus = folder / "corpus"
    corpus.mkdir(exist_ok=True)
    for place, data in enumerate(real_inputs(name, door)):
        (corpus / f"real-{place}").write_bytes(data)
    words = folder / "words"
    escaped = ("".join(f"\\x{byte:02x}" for byte in word) for word in door.words)
    words.write_text("".join(f'"{word}"\n' for word in escaped if word))
    stack = ExitStack()
    watched = Watched(stack.enter_context(door.open()), door, folder)

    def own(data: bytes, max_size: int, one_seed: int) -> bytes:
        random = Random(one_seed)
        if random.random() < 0.5:
            data = door.mutate(random, data, door.words)
        else:
            data = atheris.Mutate(data, max(len(data), 1))
        return data[:max_size]

    atheris.Setup(
        [
            sys.argv[0],
            str(corpus),
            f"-max_total_time={max(1, round(seconds))}",
            f"-seed={seed or 1}",
            f"-max_len={door.max_bytes}",
            f"-dict={words}",
            "-rss_limit_mb=0",
            "-handle_segv=0",
            "-handle_bus=0",
            "-handle_abrt=0",
            "-handle_fpe=0",
            "-handle_ill=0",
            "-timeout=0",
            f"-artifact_prefix={folder}/artifact-",
        ],
        watched,
        custom_mutator=own,
    )
    atheris.Fuzz()


def _follows(name: str) -> list[str]:
    # In a process of its own, since what is imported already cannot be followed any more.
    code = f"from tests.fuzz.door import load_door; print(*load_door({name!r}).follows)"
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()


_COMMANDS: dict[str, Callable[..., None]] = {"fuzz": main, "replay": replay}

if __name__ == "__main__":
    _COMMANDS[sys.argv[1]](*sys.argv[2:])
