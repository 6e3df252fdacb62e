"""Progress on standard error, where that is a terminal."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from argus_client.sources import EventSource


@contextmanager
def export_progress(
    description: str, *, hidden: bool, row_name: str = "event"
) -> Iterator[Callable[[int, int | None], None]]:
    """Gives a function to call with the rows so far and in all, None while following; the bar is gone at
    the end."""
    if hidden or not sys.stderr.isatty():
        yield lambda _rows, _total: None
        return
    # Here, since it takes as long to import as an export of 200,000 events.
    from argus_client.cli.progress_bar import progress_bar

    with progress_bar(description, row_name) as show:
        yield show


@contextmanager
def ingest_progress(files: int) -> "Iterator[Callable[[int, EventSource, int], None]]":
    """Gives a function to call with the number of the file, from 1, its source, and how many events of
    it are stored; the bar is gone at the end."""
    from rich.console import Console

    # Rich knows more of terminals than whether it is one.
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _number, _source, _events: None
        return
    from argus_client.cli.progress_bar import ingest_bar

    with ingest_bar(console, files) as show:
        yield show
