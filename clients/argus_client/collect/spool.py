"""Where received events wait, on disk, until the server has them.

A process may be killed at any moment: what was appended is sent by the next one, under the same batch
ids, and the state kept with each batch is the collector's after exactly that batch. A batch is
brought to the disk before it is sent, not before; so if the machine itself goes down, what was received
in the last moments may be gone, but nothing that was stored comes twice.
"""

import json
import os
import secrets
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Self

from argus_client.collect.segment import Segment, SpooledBatch, segment_path, segment_paths
from argus_client.errors import OutputError
from argus_client.files import locked, reporting_os_errors, sync_folder
from argus_grpc.v1.event_pb2 import Event, Events, EventType
from argus_grpc.v1.ingest_pb2 import IngestEventsRequest

MIN_SPOOL_BYTES = 1024 * 1024

_SEGMENTS = 16
_SENT = "sent"
# The contract's, of a batch's source.
_MAX_SOURCE_CHARACTERS = 1_000
_MAX_SEGMENT_BYTES = 8 * 1024 * 1024


class Spool:
    """Batches in a folder, ours alone within a `with` block. One thread appends, another sends.

    max_bytes: about how much of the disk it takes; beyond it the oldest batches are dropped.
    say: called with a sentence when something is lost or set aside.

    dropped: events that were received and will not be sent, for want of space.
    set_aside: events that the server refused, kept in files of their own.

    Entering raises OutputError: another process uses the folder, or it cannot be read or written.
    """

    def __init__(self, folder: Path, max_bytes: int, say: Callable[[str], None]) -> None:
        self.folder = folder
        self.dropped = 0
        self.set_aside = 0
        self.waiting = 0
        """Events that are yet to be sent."""
        self._max_bytes = max_bytes
        self._say = say
        self._changed = threading.Condition()
        self._segments: deque[Segment] = deque()
        self._next_number = 1
        # Of this run: a number that a crash of the machine took back must not name another batch.
        self._run_id = secrets.token_hex(8)
        self._last_state: Mapping[str, Any] | None = None
        self._was_full = False
        self._open = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack, reporting_os_errors(str(self.folder)):
            self.folder.mkdir(parents=True, exist_ok=True)
            stack.enter_context(_locked(self.folder))
            stack.callback(self._close_segments)
            self._load()
            self._open = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    @property
    def state(self) -> Mapping[str, Any] | None:
        """The collector's state after the last batch; None if there never was one."""
        return self._last_state

    @property
    def size_bytes(self) -> int:
        with self._changed:
            return sum(segment.size_bytes for segment in self._segments)

    def append(self, events: Sequence[Event], state: Mapping[str, Any]) -> None:
        """Adds a batch of at least one event; when this returns it survives the process's death. What
        cannot be written is dropped, counted and said."""
        number = self._next_number
        request = IngestEventsRequest(
            rows=Events(events=events),
            source=events[0].source[:_MAX_SOURCE_CHARACTERS],
            batch_id=f"{self._run_id}-{number}",
        ).SerializeToString()
        with self._changed:
            try:
                self._segment_for_next().append(number, len(events), state, request)
            except OSError as error:
                self.dropped += len(events)
                self._say_full(f"{self.folder} cannot be written: {error.strerror or error}")
                return
            self._next_number += 1
            self._last_state = state
            self.waiting += len(events)
            self._drop_oldest()
            self._changed.notify_all()

    def first(self, timeout_s: float) -> SpooledBatch | None:
        """The oldest batch that waits, on disk for good; None if there was none in that time.

        Raises OutputError if it cannot be read or brought to the disk.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._first_segment() is not None, timeout_s)
            segment = self._first_segment()
            if segment is None:
                return None
            with reporting_os_errors(str(segment.path)):
                segment.sync()
            return segment.read(segment.waiting[0])

    def sent(self, batch: SpooledBatch) -> None:
        """The server has it. Raises OutputError if that cannot be written down."""
        with self._changed:
            segment = self._first_segment()
            if segment is None or segment.waiting[0].number != batch.number:
                # It was dropped while it was on its way.
                self.dropped -= batch.events
                return
            self.waiting -= segment.waiting.popleft().events
            with reporting_os_errors(str(self.folder)):
                self._note_sent(batch.number)
                self._remove_sent()
            self._was_full = False

    def refused(self, batch: SpooledBatch, why: str) -> None:
        """The server will never take it: into a file that `argus-client ingest` reads.

        Raises OutputError if that file cannot be written.
        """
        path = self.folder / f"refused-{batch.request.batch_id}.jsonl"
        with reporting_os_errors(str(path)):
            path.write_text("".join(f"{_to_json(event)}\n" for event in batch.request.rows.events))
        self.set_aside += batch.events
        self.sent(batch)
        self._say(f"the server refused {batch.events:,} events ({why}); they are in {path}")

    def _note_sent(self, number: int) -> None:
        # In place, by one write of always as many bytes: a kill leaves the old number or the new one.
        file = os.open(self.folder / _SENT, os.O_WRONLY | os.O_CREAT, 0o666)
        try:
            os.write(file, b"%016d\n" % number)
        finally:
            os.close(file)

    def _load(self) -> None:
        sent = 0
        with suppress(FileNotFoundError, ValueError):
            sent = int((self.folder / _SENT).read_text())
        # Now, while there is space for it.
        self._note_sent(sent)
        for path in segment_paths(self.folder):
            segment = Segment(path)
            self._segments.append(segment)
            if segment.last is not None:
                self._next_number = segment.last.number + 1
                self._last_state = segment.read(segment.last).state
            while segment.waiting and segment.waiting[0].number <= sent:
                segment.waiting.popleft()
            self.waiting += segment.waiting_events
        for segment in list(self._segments)[:-1]:
            if segment.is_damaged:
                self._say(f"{segment.path} was damaged: what followed in it is lost")
        # A number is never given twice, even if all segments were taken away.
        self._next_number = max(self._next_number, sent + 1)
        self._remove_sent()

    def _close_segments(self) -> None:
        while self._segments:
            self._segments.pop().close()

    def _first_segment(self) -> Segment | None:
        return next((segment for segment in self._segments if segment.waiting), None)

    def _segment_for_next(self) -> Segment:
        full_bytes = min(_MAX_SEGMENT_BYTES, self._max_bytes // _SEGMENTS)
        if not self._segments or self._segments[-1].size_bytes >= full_bytes:
            self._segments.append(Segment(segment_path(self.folder, self._next_number)))
            sync_folder(self.folder)
        return self._segments[-1]

    def _drop_oldest(self) -> None:
        dropped = 0
        while (
            len(self._segments) > 1
            and sum(segment.size_bytes for segment in self._segments) > self._max_bytes
        ):
            segment = self._segments.popleft()
            dropped += segment.waiting_events
            segment.remove()
        self.waiting -= dropped
        self.dropped += dropped
        if dropped:
            self._say_full(f"the spool is full ({self._max_bytes:,} bytes): its oldest events are dropped")

    def _remove_sent(self) -> None:
        # The last one stays: the collector's state is in it.
        while len(self._segments) > 1 and not self._segments[0].waiting and self._segments[1].last:
            self._segments.popleft().remove()

    def _say_full(self, what: str) -> None:
        if not self._was_full:
            self._was_full = True
            self._say(what)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with ExitStack() as stack:
        try:
            stack.enter_context(locked(folder / "lock"))
        except OutputError as error:
            if not isinstance(error.__cause__, BlockingIOError):
                raise
            raise OutputError(
                f"{folder} is in use by another collector; each needs its own (--spool)"
            ) from error
        yield


def _to_json(event: Event) -> str:
    told = {field.json_name: value for field, value in event.ListFields()}
    told["eventType"] = EventType.Name(event.event_type).removeprefix("EVENT_TYPE_")
    return json.dumps(told)
