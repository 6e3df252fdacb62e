"""Records → lines of a file that only grows, written by a thread of its own."""

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import structlog

from argus_grpc.audit.file import AppendedFile
from argus_grpc.audit.record import Moment, is_refusal, lost_record, suppressed_record, to_line, to_record
from argus_grpc.audit.refusals import TOLD_AFTER_S, Refusals
from argus_grpc.calls import Call
from argus_grpc.errors import AuditUnavailable

SYNC_INTERVAL_S = 1.0
"""How long a line that is written may not be on disk yet."""

RETRY_INTERVAL_S = 1.0
MAX_WAITING = 16_384
"""How many records wait while the file cannot be written, beside those of refusals."""
MAX_WAITING_REFUSALS = 4_096

_WRITTEN_TIMEOUT_S = 10.0
_UNWRITABLE = "the audit log cannot be written; until it can, nothing is given out or taken in"

_log = structlog.get_logger()


@dataclass(frozen=True, eq=False)
class _Waiting:
    make: Callable[[], Mapping[str, Any] | None]
    written: "Future[None] | None" = None
    is_refusal: bool = False


class AuditLog:
    """Appends to a file, which it creates where there is none, for its owner alone.

    A file that was moved away, as logrotate does, is left as it is, and a new one is begun. While the file
    cannot be written the records wait in memory, and check() refuses; that heals by itself.

    Safe for use by many threads. Close it, which writes what waits. Raises AuditUnavailable if the file
    cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._file = AppendedFile(path)
        except OSError as error:
            raise AuditUnavailable(f"cannot open the audit log {path}: {error.strerror or error}") from error
        self._path = path
        self._waiting: list[_Waiting] = []
        self._refusals = Refusals()
        self._waiting_refusals = 0
        # These two are the thread's own.
        self._lines: deque[bytes] = deque()
        self._unwritten: list[Future[None]] = []
        self._refusal_lines = 0
        self._changed = threading.Condition()
        self._is_closed = False
        self._is_failing = False
        self._lost = 0
        self._synced_s = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="audit", daemon=True)
        self._thread.start()

    @property
    def is_failing(self) -> bool:
        """Whether the file cannot be written now, or not as fast as records come. However many are refused,
        that keeps nobody else out."""
        return self._is_failing or self.waiting - self._refusals_kept >= MAX_WAITING // 2

    @property
    def waiting(self) -> int:
        """How many records are not written yet."""
        return len(self._waiting) + len(self._lines)

    @property
    def _refusals_kept(self) -> int:
        return self._waiting_refusals + self._refusal_lines

    def check(self) -> None:
        """Raises AuditUnavailable while what is done now could not be recorded."""
        if self.is_failing:
            raise AuditUnavailable(_UNWRITABLE)

    def begun(self, call: Call) -> None:
        """Records that an export begins. Raises AuditUnavailable unless that is written: until then nothing
        may leave."""
        self.check()
        written: Future[None] = Future()
        self._append(_Waiting(partial(to_record, call, None, Moment.now()), written))
        try:
            written.result(_WRITTEN_TIMEOUT_S)
        except TimeoutError:
            raise AuditUnavailable("the audit log is too slow") from None

    def ended(self, call: Call, code: str) -> None:
        """Records a call that is over, or counts it where too many are refused; returns at once."""
        refused = is_refusal(call, code)
        if not refused or self._refusals.is_recorded(call.peer, code):
            self._append(_Waiting(partial(to_record, call, code, Moment.now()), is_refusal=refused))

    def close(self) -> None:
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        self._thread.join()
        if lost := self.waiting + self._lost:
            _log.error("audit_records_lost", count=lost, path=str(self._path))
        self._file.close()

    def _append(self, waiting: _Waiting) -> None:
        with self._changed:
            kept = self._refusals_kept
            if waiting.is_refusal:
                is_full = kept >= MAX_WAITING_REFUSALS
            else:
                is_full = self.waiting - kept >= MAX_WAITING
            if is_full:
                self._lost += 1
                return
            self._waiting.append(waiting)
            self._waiting_refusals += waiting.is_refusal
            # Waking the thread for every record would cost more than writing it.
            if len(self._waiting) == 1:
                self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                if self._is_failing:
                    # What failed is not tried anew just because there is more to write.
                    self._changed.wait_for(lambda: self._is_closed, RETRY_INTERVAL_S)
                else:
                    self._changed.wait_for(lambda: self._waiting or self._is_closed, self._until_sync_s())
                is_closed = self._is_closed
                taken, self._waiting = self._waiting, []
                self._refusal_lines += self._waiting_refusals
                self._waiting_refusals = 0
                lost, self._lost = self._lost, 0
            self._to_lines(taken, lost)
            if is_closed or not self._is_failing:
                for host, count in self._refusals.take_suppressed(is_last=is_closed):
                    self._lines.append(to_line(suppressed_record(host, count)))
            self._write(is_last=is_closed)
            if is_closed and (self._is_failing or not self._waiting):
                return

    def _until_sync_s(self) -> float:
        if not self._file.is_unsynced:
            return TOLD_AFTER_S
        return max(0.0, self._synced_s + SYNC_INTERVAL_S - time.monotonic())

    def _to_lines(self, taken: list[_Waiting], lost: int) -> None:
        for waiting in taken:
            try:
                record = waiting.make()
            except Exception:
                # Never to be; but one record that cannot be made must not keep all others out.
                _log.exception("audit_record_not_made")
                lost += 1
                continue
            if record is not None:
                self._lines.append(to_line(record))
            if waiting.written:
                self._unwritten.append(waiting.written)
        if lost:
            self._lines.append(to_line(lost_record(lost)))

    def _write(self, *, is_last: bool) -> None:
        """Writes all lines, and syncs when it is time."""
        try:
            self._file.append(self._lines)
            if self._file.is_unsynced and (is_last or time.monotonic() >= self._synced_s + SYNC_INTERVAL_S):
                self._file.sync()
                self._synced_s = time.monotonic()
        except OSError as error:
            self._failed(error)
        else:
            self._works()

    def _failed(self, error: OSError) -> None:
        if not self._is_failing:
            self._is_failing = True
            _log.error("audit_log_unwritable", path=str(self._path), error=error.strerror or str(error))
        for written in self._unwritten:
            written.set_exception(AuditUnavailable(_UNWRITABLE))
        self._unwritten.clear()

    def _works(self) -> None:
        self._refusal_lines = 0
        for written in self._unwritten:
            written.set_result(None)
        self._unwritten.clear()
        if self._is_failing:
            self._is_failing = False
            _log.warning("audit_log_written_again", path=str(self._path))
