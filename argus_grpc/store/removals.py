"""Which events are gone. What is removed is always a prefix: all sequences from 1 to some sequence."""

import duckdb


class Removals:
    """How far events have been removed. One thread removes and tells it here; any may ask.

    through: the greatest sequence that was removed, committed, when the database was opened; 0: none.
    """

    def __init__(self, through: int) -> None:
        self._through = self._begun_through = through

    @property
    def through(self) -> int:
        """All events with sequences from 1 to this one are gone; 0: none is."""
        return self._through

    @property
    def begun_through(self) -> int:
        """No event with a greater sequence was gone when this is asked for: a removal moves it before it
        begins, and `through` only after it is committed."""
        return self._begun_through

    def begin(self, through: int) -> None:
        """Says that all events with sequences up to this one are about to be removed."""
        self._begun_through = max(through, self._begun_through)

    def end(self, through: int) -> None:
        """Says that the removal of all events with sequences up to this one is committed."""
        self._through = max(through, self._through)


def remove_through(cursor: duckdb.DuckDBPyConnection, sequence: int) -> None:
    """Removes all events with sequences up to this one, and notes it, in the cursor's transaction."""
    cursor.execute("DELETE FROM events WHERE sequence <= ?", [sequence])
    cursor.execute("UPDATE argus_removed SET through = ?", [sequence])
