"""Lets IngestEvents answer later, so that no thread waits for the commit of its batch."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from functools import partial
from typing import Any, cast

import grpc
from grpc import _server

from argus_grpc.interceptors.call import INGEST_METHOD, Handler


class LaterAnswers(grpc.ServerInterceptor):
    """Has a method return a Future in place of its answer, which is sent by the thread that ends it.

    A commit of a hundred small batches would otherwise wake a hundred threads, which costs as much as
    storing them.
    """

    def __init__(self) -> None:
        self._handler: Handler = None

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Handler],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler:
        if handler_call_details.method != INGEST_METHOD:
            return continuation(handler_call_details)
        if self._handler is None:
            self._handler = _answering_later(continuation(handler_call_details))
        return self._handler


def _answering_later(handler: Handler) -> Handler:
    if handler is None:
        return None
    behavior, serialize = handler.stream_unary, handler.response_serializer
    assert behavior is not None
    assert serialize is not None

    def begin(request: Iterator[Any], context: grpc.ServicerContext, _: object) -> None:
        answer = cast("Future[Any]", behavior(request, context))
        answer.add_done_callback(partial(_send, context, serialize))

    # gRPC lets a stream's method return before its messages are there, and on the wire a stream of one
    # message is the same as a single one.
    begin.experimental_non_blocking = True  # type: ignore[attr-defined]
    return grpc.stream_stream_rpc_method_handler(cast(Any, begin))


def _send(context: grpc.ServicerContext, serialize: Callable[[Any], bytes], answer: "Future[Any]") -> None:
    if answer.exception() is None:
        message = serialize(answer.result())
    else:
        message = None
        if context.code() is None:  # type: ignore[attr-defined]
            context.set_code(grpc.StatusCode.INTERNAL)
    # What gRPC has begin() call to send a stream's message waits until that is done, and its end is sent
    # by itself. Both at once, without a wait, has no public name.
    call = cast(Any, context)
    cast(Any, _server)._status(call._rpc_event, call._state, message)
