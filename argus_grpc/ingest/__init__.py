"""Batches of events → the store, whole or not at all."""

from collections.abc import Callable

from argus_grpc.errors import Cancelled
from argus_grpc.ingest.admission import Admission
from argus_grpc.ingest.checks import MAX_EVENT_BYTES
from argus_grpc.ingest.request import decode
from argus_grpc.store import Appended, DuckDbStore

__all__ = ["MAX_EVENT_BYTES", "Admission", "ingest"]


def ingest(
    store: DuckDbStore, admission: Admission, receive: Callable[[], bytes], is_wanted: Callable[[], bool]
) -> Appended:
    """Stores the events of the IngestEventsRequest that `receive` gives; on return they are committed.

    Raises LimitReached when there is too much under way, InvalidField, naming the first event and field that
    does not fit, and Cancelled if nobody wants the answer any more before the request is decoded; after that
    it is stored all the same. What else is raised, Appender.append says.
    """
    with admission.call() as call:
        request = receive()
        call.received(len(request))
        with admission.decoding:
            if not is_wanted():
                raise Cancelled
            events, batch_id = decode(request)
        del request
        call.hold(events.nbytes)
        return store.append(events, batch_id)
