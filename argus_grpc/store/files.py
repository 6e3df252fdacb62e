"""The files of a database: how large they are, and how what is free in them is given back."""

from pathlib import Path

from argus_grpc.store.database import Database
from argus_grpc.store.schema import ROW_GROUP_EVENTS

# The log of a checkpoint that runs, and what recovery leaves if it is cut off.
_LOG_ENDINGS = (".wal", ".wal.checkpoint", ".wal.recovery")

_DEFAULT_CHECKPOINT_BYTES = 64 * 1024 * 1024
_CHECKPOINTS_IN_BOUND = 8
_MIN_FREE_BYTES = 16 * 1024 * 1024
"""Less than this is not worth a compaction."""
_MAX_MOVE_BYTES = 16 * 1024 * 1024
"""About how much one step of a compaction holds in memory, at most."""

_NO_SEQUENCE = 2**63 - 1

# The tables that grow, and the sequence by which their rows are moved. What lies at the end of the file
# keeps it from shrinking, and that may be of any of them.
_MOVED = (("events", "sequence"), ("argus_batches", "first_sequence"), ("argus_arrivals", "sequence"))


def checkpoint_bytes(max_bytes: int | None) -> int:
    """How large DuckDB's log may grow before it is worked into the file.

    A checkpoint writes the last row group anew, a hundred thousand events of it on average. DuckDB's own
    threshold of 16 MiB has that done for every eighty thousand events that came in small commits.
    """
    if max_bytes is None:
        return _DEFAULT_CHECKPOINT_BYTES
    return min(_DEFAULT_CHECKPOINT_BYTES, max_bytes // _CHECKPOINTS_IN_BOUND)


class DatabaseFiles:
    """The file of a database and its logs.

    A bound on them has room beside what is kept: for what the log holds, what a checkpoint writes of it
    while the log is still there, what comes in until the oldest events are gone, and the events that
    DuckDB stores together, which a checkpoint may write anew before it frees the old ones.
    """

    def __init__(self, path: Path, database: Database, log_bytes: int) -> None:
        """log_bytes: how large the log may grow before it is worked into the file."""
        self._path = path
        self._database = database
        self._log_bytes = log_bytes
        self.move_bytes = min(_MAX_MOVE_BYTES, log_bytes // 2)
        self._bytes_per_event = 1024
        self._freed_size = self._size(path)

    def file_bytes(self) -> int:
        return self._size(self._path)

    def wal_bytes(self) -> int:
        return sum(self._size(self._path.with_name(self._path.name + ending)) for ending in _LOG_ENDINGS)

    def used_bytes(self) -> int:
        """How much of the file is in use."""
        block_bytes, _total, used, _free = self._blocks()
        return block_bytes * used

    def _room_bytes(self, stored_bytes: int, events: int) -> int:
        """The room in a bound beside this many events that take so much of the file."""
        return 3 * self._log_bytes + _row_group_bytes(stored_bytes, events)

    def may_grow_to(self, max_bytes: int, events: int) -> bool:
        """Whether the files, with so many events, are so small that nothing need be removed: at little cost,
        and not sure of it."""
        file_bytes = self.file_bytes()
        return file_bytes + self.wal_bytes() <= max_bytes - self._room_bytes(file_bytes, events)

    def excess_bytes(self, used_bytes: int, max_bytes: int, events: int) -> int:
        """How much must go for the files to stay within the bound; a little more than needed, so that it is
        not too much again at once."""
        excess = used_bytes + self.wal_bytes() - (max_bytes - self._room_bytes(used_bytes, events))
        return excess + self._log_bytes // 2 if excess > 0 else 0

    def may_wait(self, max_bytes: int, events: int, coming_bytes: int = 0) -> bool:
        """Whether the bound holds through the next checkpoint, with so many events there, even if no space is
        freed before it and so many bytes of events come. Files that have been larger than the bound from
        the start may not grow."""
        file_bytes, log_bytes = self.file_bytes(), self.wal_bytes() + coming_bytes

        def holds(stored_bytes: int) -> bool:
            largest = max(max_bytes, self._freed_size + self._room_bytes(stored_bytes, events))
            checkpointed_bytes = stored_bytes + log_bytes + _row_group_bytes(stored_bytes, events)
            # The file may not take the room of a whole log, which would have to be kept short for ever.
            return (
                max(file_bytes + log_bytes, checkpointed_bytes + max(log_bytes, self._log_bytes)) <= largest
            )

        # As if nothing in the file were free, which costs little, is mostly enough.
        return holds(file_bytes) or holds(self.used_bytes())

    def are_too_large(self, max_bytes: int | None, *, by_far: bool) -> bool:
        """Whether events should be moved for the file to shrink: by far, if half of it is free or it takes
        room that the bound has for checkpoints; else, if that is not mended quite."""
        block_bytes, total, _used, free = self._blocks()
        if free * block_bytes < _MIN_FREE_BYTES:
            return False
        if max_bytes is not None and total * block_bytes > max_bytes - self._log_bytes * (1 if by_far else 2):
            return True
        return free * (2 if by_far else 4) > total

    def free_space(self, timeout_s: float | None) -> bool:
        """Frees the space of what has been removed: for later events, and what lies at the file's end for the
        system. False if others could not be kept out of the database within timeout_s (None: it waits)."""
        with self._database.alone(timeout_s) as cursor:
            if cursor is None:
                return False
            cursor.execute("FORCE CHECKPOINT")
        self._freed_size = self.file_bytes()
        return True

    def least_moved(self) -> int:
        """The sequence from which on there is something to move."""
        least = [f"(SELECT coalesce(min({key}), {_NO_SEQUENCE}) FROM {table})" for table, key in _MOVED]  # noqa: S608 - our own names
        query = f"SELECT least({', '.join(least)})"
        ((sequence,),) = self._database.read(lambda cursor: cursor.execute(query).fetchall())
        return int(sequence)

    def move(self, through: int) -> int:
        """Writes some of what is stored under sequences up to this one anew, the newest of it, so that it
        comes to lie in free space, and returns the sequence before it."""
        before = through - max(1, self.move_bytes // self._bytes_per_event)
        with self._database.cursor() as cursor:
            cursor.begin()
            for table, key in _MOVED:
                of_these = f"FROM {table} WHERE {key} > {before} AND {key} <= {through}"
                with cursor.sql(f"SELECT * {of_these}").to_arrow_reader() as reader:
                    moved = reader.read_all()
                if not moved.num_rows:
                    continue
                cursor.execute(f"DELETE {of_these}")
                cursor.register("moved", moved)
                cursor.execute(f"INSERT INTO {table} BY NAME SELECT * FROM moved")  # noqa: S608 - our own names
                if table == "events":
                    self._bytes_per_event = max(1, int(moved.nbytes) // int(moved.num_rows))
            cursor.commit()
        return before

    def _blocks(self) -> tuple[int, int, int, int]:
        """The bytes of a block, and how many there are, are used, and are free."""
        query = "SELECT block_size, total_blocks, used_blocks, free_blocks FROM pragma_database_size()"
        ((size, total, used, free),) = self._database.read(lambda cursor: cursor.execute(query).fetchall())
        return int(size), int(total), int(used), int(free)

    @staticmethod
    def _size(path: Path) -> int:
        try:
            return path.stat().st_size
        except FileNotFoundError:
            return 0


def _row_group_bytes(stored_bytes: int, events: int) -> int:
    return stored_bytes * min(events, ROW_GROUP_EVENTS) // max(events, 1)
