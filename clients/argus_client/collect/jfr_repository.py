"""A running JVM's Flight Recorder repository, followed for ever with the JDK's own reader."""

import json
import random
import re
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from argus_client.collect.batching import Batcher
from argus_client.collect.counts import Counts
from argus_client.collect.jfr_position import JfrPosition
from argus_client.collect.spool import Spool
from argus_client.ingest import MAX_EVENT_BYTES
from argus_client.retry import Backoff
from argus_client.sources.jfr_events import END, JFR_TYPES, START
from argus_client.sources.jfr_jvm import ENVIRONMENT, JVM, source_of_jvm
from argus_client.sources.jfr_program import read_message
from argus_grpc.v1.event_pb2 import Event

_FOLLOWER = "FollowRepository.java"
# Small and quick to start; nothing of it runs for long.
_JAVA_OPTIONS = ("-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto")
_BACKOFF = Backoff(first_s=0.5, max_s=5.0)
_LOOK_INTERVAL_S = 0.2
# A JVM flushes once a second.
_SILENCE_S = 5.0
# Besides, for java to start and compile the reader on a busy machine.
_START_S = 60.0
_JVM_FOLDER = re.compile(r"\d{4}(_\d\d){5}_\d+", re.ASCII)
_MAX_ALIVE = 262_144


class JfrRepository:
    """Puts the events that a JVM flushes to its repository into the spool, from the first that it has;
    when another JVM has begun a repository in the folder, those of that one.

    source: which JVM the events are from; None: what the JVM says itself, else the folder's name.
    say: called with a sentence when following ends and goes on.
    """

    def __init__(
        self,
        folder: Path,
        java: str,
        source: str | None,
        spool: Spool,
        counts: Counts,
        say: Callable[[str], None],
    ) -> None:
        self._folder = folder
        self._java = java
        self._given_source = source
        self._counts = counts
        self._say = say
        state = (spool.state or {}).get("jfr", {})
        self._position = JfrPosition(state)
        self._jvm_folder: str = state.get("folder", "")
        self._has_ended = False
        self._last_line_s = 0.0
        self._batcher = Batcher(spool, self._state)
        self._starts_ns: dict[int, int] = {}
        self._about_jvm: dict[str, Mapping[str, Any]] = {}
        self._source = source or folder.absolute().name
        self._failures = 0

    def run(self, stopped: threading.Event) -> None:
        """Follows until it is stopped, over as many JVMs as come."""
        while not stopped.is_set():
            folder = self._next_folder()
            if folder is None:
                stopped.wait(_LOOK_INTERVAL_S)
                continue
            failure = self._follow(folder, stopped)
            if stopped.is_set():
                return
            if failure is None:
                self._has_ended = True
                self._say(f"{folder}: the JVM has ended; waiting for another one")
                continue
            self._failures += 1
            if self._failures == 1:
                self._counts.outages += 1
                self._say(f"{folder}: {failure}; trying again")
            stopped.wait(_BACKOFF.wait_s(self._failures, random.random()))

    def _state(self) -> dict[str, Any]:
        return {"jfr": self._position.state() | {"folder": self._jvm_folder}}

    def _next_folder(self) -> Path | None:
        """The JVM's folder that is to be followed: at first the newest, then one after another."""
        if any(self._folder.glob("*.jfr")):
            # It is a JVM's own.
            return None if self._has_ended else self._folder
        # Their names begin with the time.
        names = sorted(path.name for path in self._folder.iterdir() if _JVM_FOLDER.fullmatch(path.name))
        if not self._jvm_folder:
            names = names[-1:]
        for name in names:
            if name > self._jvm_folder or (name == self._jvm_folder and not self._has_ended):
                if name != self._jvm_folder:
                    self._jvm_folder, self._has_ended = name, False
                return self._folder / name
        return None

    def _follow(self, folder: Path, stopped: threading.Event) -> str | None:
        """Runs the JDK's reader to its end; gives what went wrong, None if the JVM ended."""
        self._position.begin()
        self._starts_ns.clear()
        always = (START, JVM, ENVIRONMENT)
        others = [name for name in JFR_TYPES if name not in always]
        after_ns = str(self._position.after_ns)
        arguments = (str(folder.absolute()), after_ns, ",".join(always), ",".join(others))
        with (
            as_file(files("argus_client.collect") / _FOLLOWER) as follower,
            tempfile.TemporaryFile() as errors,
            subprocess.Popen(
                [self._java, *_JAVA_OPTIONS, str(follower), *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                # Ctrl-C is for us alone: it ends when we let it.
                start_new_session=True,
            ) as process,
        ):
            assert process.stdout is not None
            assert process.stdin is not None
            self._last_line_s = time.monotonic() + _START_S
            ending = threading.Thread(target=self._end, args=(folder, stopped, process), daemon=True)
            ending.start()
            try:
                for line in process.stdout:
                    self._last_line_s = time.monotonic()
                    self._take(line)
            finally:
                self._batcher.flush()
                process.kill()
            status = process.wait()
            ending.join()
            return (
                None
                if status == 0 or self._is_dead(folder)
                else read_message(errors) or f"java ended with status {status}"
            )

    def _end(self, folder: Path, stopped: threading.Event, process: "subprocess.Popen[bytes]") -> None:
        """Ends the reader when it is time: it waits for ever for what a killed JVM will not write."""
        while process.poll() is None:
            if stopped.wait(_LOOK_INTERVAL_S) or self._is_dead(folder):
                process.kill()

    def _is_dead(self, folder: Path) -> bool:
        """Whether the JVM flushes no more, and there is one that began later."""
        is_silent = time.monotonic() - self._last_line_s > _SILENCE_S
        return is_silent and any(
            path.name > folder.name for path in self._folder.iterdir() if _JVM_FOLDER.fullmatch(path.name)
        )

    def _take(self, line: bytes) -> None:
        if line == b"{}\n":
            self._batcher.flush()
            return
        if not line.endswith(b"\n"):
            return  # The reader was killed within it.
        told = json.loads(line)
        name, values = told["type"], told["values"]
        if name in (JVM, ENVIRONMENT):
            self._about(name, told)
            return
        # An earlier START comes for the sake of its END.
        is_earlier = self._position.is_earlier(told["end"])
        is_new = self._position.take(told["end"], line)
        self._counts.messages += not is_earlier
        self._counts.repeated += not is_earlier and not is_new
        try:
            event = JFR_TYPES[name].to_event(values, self._source)
        except (KeyError, ValueError):
            self._counts.oddities[f"{name} that does not fit"] += is_new
            return
        self._pair(name, event)
        if not is_new:
            return
        if event.ByteSize() > MAX_EVENT_BYTES:
            self._counts.add_oddity(f"{name} over {MAX_EVENT_BYTES:,} bytes")
        else:
            if self._failures:
                self._failures = 0
                self._say(f"{self._folder} is read again")
            self._counts.events += 1
            self._batcher.add(event)

    def _about(self, name: str, told: Mapping[str, Any]) -> None:
        """Notes what the JVM says of itself."""
        key = told["values"].get("key", "") if name == ENVIRONMENT else ""
        self._about_jvm[f"{name} {key}"] = told
        if self._given_source is None:
            self._source = source_of_jvm(self._about_jvm.values()) or self._source

    def _pair(self, name: str, event: Event) -> None:
        """Gives an END the lifetime of its thread. What ended comes after what began, so the START has
        been there, unless the JVM has had too many threads since."""
        if not event.thread_id:
            return
        if name == START:
            self._starts_ns[event.thread_id] = event.timestamp
            if len(self._starts_ns) > _MAX_ALIVE:
                del self._starts_ns[next(iter(self._starts_ns))]
        elif name == END:
            start_ns = self._starts_ns.pop(event.thread_id, None)
            if start_ns is not None and start_ns <= event.timestamp:
                event.duration_ns = event.timestamp - start_ns
