"""The progress bars of exports and ingests."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from argus_client.cli.terminal import visible
from argus_client.sources import STDIN, EventSource


class _RowsColumn(ProgressColumn):
    def render(self, task: Task) -> Text:
        total = f" / {task.total:,.0f}" if task.total is not None else ""
        return Text(f"{task.completed:,.0f}{total} {task.fields['row_name']}s")


class _TimeLeftColumn(TimeRemainingColumn):
    def render(self, task: Task) -> Text:
        return Text("following") if task.fields["is_following"] else super().render(task)


class _RateColumn(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:,.0f}/s" if speed is not None else "–/s")


@contextmanager
def progress_bar(description: str, row_name: str) -> Iterator[Callable[[int, int | None], None]]:
    """A bar on standard error; gives a function to call with the rows so far and in all, None while
    following."""
    with Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        _RowsColumn(),
        _RateColumn(),
        _TimeLeftColumn(),
        console=Console(file=sys.stderr),
        transient=True,
    ) as progress:
        task = progress.add_task(description, total=None, row_name=row_name, is_following=False)
        is_following = False

        def show(events: int, total: int | None) -> None:
            nonlocal task, is_following
            if total is None and not is_following:
                # Another task: this one's total cannot be taken back, nor its rate at the end of it.
                progress.remove_task(task)
                task = progress.add_task(
                    description, total=None, completed=events, row_name=row_name, is_following=True
                )
                is_following = True
            progress.update(task, completed=events, total=total)

        yield show


@contextmanager
def ingest_bar(console: Console, files: int) -> Iterator[Callable[[int, EventSource, int], None]]:
    """A bar for the file that is being read, however many there are; gives a function to call with its
    number, from 1, its source, and how many events of it are stored."""
    with Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[events]:,} events"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    ) as progress:
        task = progress.add_task("", total=None, events=0)
        shown = 0

        def show(number: int, source: EventSource, events: int) -> None:
            nonlocal shown
            name = visible(source.path.name if source.path != STDIN else source.name)
            told = f"{name} ({number:,} of {files:,})" if files > 1 else name
            if number != shown:
                progress.reset(task, description=told, events=0)
                shown = number
            fraction = source.fraction
            total = None if fraction is None else 1.0
            progress.update(task, total=total, completed=fraction or 0.0, events=events)

        yield show
