"""A source's events into a server."""

import re
from collections.abc import Callable

from argus_client.errors import InvalidRequest, SourceError, Violation
from argus_client.ingest import IngestResult, Send, ingest, with_ids
from argus_client.sources.source import EventSource

# As the contract names a place, such as "rows.events[7].thread_id" and "arrow.thread_id[7]".
_PLACE = re.compile(r"(?:rows\.events|arrow(?:\.(?P<column>\w+))?)\[(?P<event>\d+)\](?:\.(?P<field>\w+))?")


def ingest_source(
    source: EventSource, send: Send, *, on_progress: Callable[[IngestResult], None] | None = None
) -> IngestResult:
    """Sends all events of the source, in batches with ids that the same content gets again: what an
    earlier run has stored is not stored twice.

    on_progress: called after each batch with what has been stored up to there;
        always with the same object, so that a caller has it when this raises.

    Raises SourceError, also for an event that the server refuses, and whatever sending raises; batches
    sent before stay stored.
    """
    try:
        return ingest(with_ids(source.batches()), send, on_progress=on_progress)
    except InvalidRequest as error:
        if not error.violations:
            raise
        told = "; ".join(_told(violation) for violation in error.violations)
        raise SourceError(f"{source.name}, {told}") from error


def _told(violation: Violation) -> str:
    match = _PLACE.fullmatch(violation.field)
    if match is None:
        return f"{violation.field}: {violation.description}"
    name = match["column"] or match["field"]
    return f"event {int(match['event']) + 1:,}: {f'{name}: ' if name else ''}{violation.description}"
