"""Room on the database's disk."""

import errno
import os
import shutil
from pathlib import Path

from argus_grpc.errors import StoreFull

# No space, a quota, and a limit on the size of a file.
_FULL_TEXTS = tuple(os.strerror(number) for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG))


class DiskSpace:
    """The disk of a folder. reserve_bytes of it are left free, so that what is stored can also be
    checkpointed, and exports find room for their work."""

    def __init__(self, folder: Path, reserve_bytes: int) -> None:
        self._folder = folder
        self._reserve_bytes = reserve_bytes

    def check(self) -> None:
        """Raises StoreFull if no more than the reserve is free."""
        free_bytes = shutil.disk_usage(self._folder).free
        if free_bytes <= self._reserve_bytes:
            raise StoreFull(f"{free_bytes} bytes are free, and disk_reserve is {self._reserve_bytes}")


def full_text(error: Exception) -> str | None:
    """What the system said if DuckDB failed for want of room. DuckDB hands on nothing but these words."""
    return next((text for text in _FULL_TEXTS if text in str(error)), None)
