"""What `argus-client ingest` says of what it stored."""

from collections import Counter
from collections.abc import Callable, Iterator

from argus_client.cli.terminal import echo
from argus_client.cli.words import tell_rows
from argus_client.ingest import IngestResult, Send
from argus_client.query import EVENT_TYPE_CODES
from argus_client.sources import EventSource, ingest_source
from argus_grpc.v1.event_pb2 import EventType

_SKIPPED_TYPES_SHOWN = 5


class Report:
    """Adds up what was stored of each file."""

    def __init__(self) -> None:
        self.files = 0
        self._stored: Counter[EventType.ValueType] = Counter()
        self._stored_before = 0
        self._skipped: Counter[str] = Counter()

    @property
    def has_stored(self) -> bool:
        return bool(self._stored or self._stored_before)

    def add(self, source: EventSource, result: IngestResult) -> str:
        """Adds a file, and gives its line."""
        self.files += 1
        self._stored += result.counts
        self._stored_before += result.stored_before.total()
        self._skipped += source.skipped
        line = f"{source.name}: {_stored(result.events, result.stored_before.total())}"
        if result.events:
            line += f" (sequence {result.first_sequence} to {result.last_sequence})"
        if source.guards_removed:
            texts = "1 text" if source.guards_removed == 1 else f"{source.guards_removed:,} texts"
            line += f"; the formula guard's ' was taken off {texts}"
        return line

    def tell_all(self) -> None:
        """Says, on standard error, what was stored of all files, by event type, and what was left out."""
        for line in self._lines():
            echo(line, err=True)

    def _lines(self) -> Iterator[str]:
        if self.files > 1:
            yield f"{self.files:,} files: {_stored(self._stored.total(), self._stored_before)}"
        names = {code: name for name, code in EVENT_TYPE_CODES.items()}
        numbers = {names[code]: f"{count:,}" for code, count in sorted(self._stored.items())}
        if numbers:
            name_width = max(map(len, numbers))
            number_width = max(map(len, numbers.values()))
            for name, number in numbers.items():
                yield f"  {name:<{name_width}}  {number:>{number_width}}"
        if self._skipped:
            shown = [f"{count:,} {name}" for name, count in self._skipped.most_common(_SKIPPED_TYPES_SHOWN)]
            if len(self._skipped) > len(shown):
                shown.append(f"and {len(self._skipped) - len(shown)} more types")
            total = tell_rows(self._skipped.total())
            yield f"Left out, of types that Argus does not keep: {total} ({', '.join(shown)})"


def ingest_and_tell(
    source: EventSource,
    send: Send,
    report: Report,
    show: Callable[[EventSource, int], None] = lambda _source, _events: None,
    after_all: Callable[[], None] = lambda: None,
) -> None:
    """Sends the source's events, and says what was stored of it, even when it fails.

    show: called at the start and after each batch with the source and how many events are stored.
    after_all: called when all are, before it is said.
    """
    stored = IngestResult()

    def keep(so_far: IngestResult) -> None:
        nonlocal stored
        stored = so_far
        show(source, so_far.acknowledged)

    show(source, 0)
    is_through = False
    try:
        with source:
            ingest_source(source, send, on_progress=keep)
        is_through = True
        after_all()
    finally:
        # On an error too: what was stored before it stays stored.
        if is_through or stored.acknowledged:
            echo(report.add(source, stored), err=True)


def _stored(events: int, before: int) -> str:
    if not before:
        return f"stored {tell_rows(events)}"
    were = "was" if before == 1 else "were"
    return f"stored {tell_rows(events)}, {before:,} {were} there already"
