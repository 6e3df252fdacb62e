"""Processes that die between any two changes of the disk, played within one process."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from argus_client.files import Output, PartFile


class Crash(BaseException):
    """Stands for the process's death: nothing on disk changes after it."""


class Disk:
    """All that changes the disk, counted; at the n-th change, and ever after, it raises Crash."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.changes = 0
        self.crash_at: int | None = None
        self.synced_bytes: dict[int, int] = {}
        monkeypatch.setattr(os, "fsync", self._counted(self._sync))
        for owner, names in (
            (Path, ["replace", "rename", "hardlink_to", "unlink"]),
            (PartFile, ["clear"]),
            (Output, ["write"]),
        ):
            for name in names:
                monkeypatch.setattr(owner, name, self._counted(getattr(owner, name)))

    def _counted(self, change: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **options: Any) -> Any:
            self.changes += 1
            if self.crash_at is not None and self.changes >= self.crash_at:
                raise Crash
            return change(*args, **options)

        return counted

    def _sync(self, descriptor: int) -> None:
        # Noted, not done: it would be most of the test's time.
        status = os.fstat(descriptor)
        self.synced_bytes[status.st_ino] = status.st_size

    def lose_cache(self, path: Path) -> None:
        """What the system had not brought to the disk is gone, as after a power cut."""
        if path.exists():
            os.truncate(path, self.synced_bytes.get(path.stat().st_ino, 0))
