"""Progress on standard error, where that is a terminal."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def export_progress(description: str, *, hidden: bool) -> Iterator[Callable[[int, int | None], None]]:
    """Gives a function to call with the events so far and in all, None while following; the bar is gone at
    the end."""
    if hidden or not sys.stderr.isatty():
        yield lambda _events, _total: None
        return
    # Here, since it takes as long to import as an export of 200,000 events.
    from argus_client.cli.progress_bar import progress_bar

    with progress_bar(description) as show:
        yield show
