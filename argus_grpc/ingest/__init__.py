"""Batches of events → the store, whole or not at all."""

from collections.abc import Callable
from concurrent.futures import Future
from contextlib import ExitStack

from argus_grpc.access import Role
from argus_grpc.calls import IngestFacts
from argus_grpc.errors import Cancelled
from argus_grpc.ingest.admission import Admission
from argus_grpc.ingest.checks import MAX_EVENT_BYTES
from argus_grpc.ingest.request import decode
from argus_grpc.store import Appended, DuckDbStore

__all__ = ["MAX_EVENT_BYTES", "Admission", "ingest"]


def ingest(
    store: DuckDbStore,
    admission: Admission,
    facts: IngestFacts,
    role: Role,
    receive: Callable[[], bytes],
    is_wanted: Callable[[], bool],
) -> "Future[Appended]":
    """Stores the events of the IngestEventsRequest that `receive` gives; the answer comes when they are
    committed. What becomes known of it is put into `facts`.

    Raises LimitReached when there is too much under way, InvalidField, naming the first event and field that
    does not fit, NotPermitted, naming the first that the role does not allow, and Cancelled if nobody wants
    the answer any more before the request is decoded; after that it is stored all the same. What else comes
    in place of the answer, Appender.append says.
    """
    with ExitStack() as place:
        call = place.enter_context(admission.call())
        request = receive()
        facts.request_bytes = len(request)
        call.received(len(request))
        with admission.decoding:
            if not is_wanted():
                raise Cancelled
            events, batch_id = decode(request, role)
        del request
        facts.events = events.num_rows
        if batch_id:
            facts.source, facts.batch_id = batch_id.source, batch_id.batch_id
        call.hold(events.nbytes)
        answer = store.begin_append(events, batch_id)
        held = place.pop_all()
        answer.add_done_callback(lambda _: held.close())
        return answer
