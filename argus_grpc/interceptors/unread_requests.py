"""Has methods read their requests themselves, as bytes: nobody has a thread wait before it is known who
calls, one too many is refused before it costs memory, and one that is no message as any other field that does
not fit."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from grpc_health.v1.health_pb2 import HealthCheckRequest

from argus_grpc.calls import current_call
from argus_grpc.errors import Cancelled, InvalidField
from argus_grpc.interceptors.call import HEALTH_CHECK, HEALTH_WATCH, INGEST_METHOD, Handler
from argus_grpc.interceptors.watchdog import Watchdog

REQUEST_TIMEOUT_S = 10.0

_INGEST_TIMEOUTS = 6
"""A batch may be of 4 MiB, over a slow line."""


class UnreadRequests(grpc.ServerInterceptor):
    """Has gRPC take each request as a stream of one message, which is the same on the wire: a single one
    it would wait for, in a thread of those that serve all calls, before any interceptor is asked.

    The message is read here, after the layers that stand before: within timeout_s seconds, or the call
    ends with UNAVAILABLE. Then its caller is judged again. IngestEvents is handed a function that reads it,
    in six times as long. Requests about the health are there already: see HealthRequests.
    """

    def __init__(self, watchdog: Watchdog, timeout_s: float) -> None:
        self._watchdog = watchdog
        self._timeout_s = timeout_s

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Handler],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler:
        handler = continuation(handler_call_details)
        if handler is None or handler.request_streaming:
            return handler
        method, parse = handler_call_details.method, handler.request_deserializer
        serialize = handler.response_serializer
        if method == HEALTH_WATCH:
            assert handler.unary_stream is not None
            # The method as it is takes no thread, which any other around it would have it do.
            return grpc.unary_stream_rpc_method_handler(
                handler.unary_stream, partial(_parse_watched, parse), serialize
            )
        behavior = handler.unary_stream or handler.unary_unary
        if method == HEALTH_CHECK:
            unary = partial(_parsing, behavior, parse)
            return grpc.unary_unary_rpc_method_handler(unary, response_serializer=serialize)
        if method == INGEST_METHOD:
            reading = partial(self._handing_on, behavior)
        else:
            reading = partial(self._reading, partial(_parsing, behavior, parse))
        if handler.response_streaming:
            return grpc.stream_stream_rpc_method_handler(reading, response_serializer=serialize)
        return grpc.stream_unary_rpc_method_handler(reading, response_serializer=serialize)

    def _handing_on(self, behavior: Any, requests: Iterator[bytes], context: grpc.ServicerContext) -> Any:
        timeout_s = _INGEST_TIMEOUTS * self._timeout_s
        return behavior(partial(self._read, requests, context, timeout_s), context)

    def _reading(self, behavior: Any, requests: Iterator[bytes], context: grpc.ServicerContext) -> Any:
        return behavior(self._read(requests, context, self._timeout_s), context)

    def _read(self, requests: Iterator[bytes], context: grpc.ServicerContext, timeout_s: float) -> bytes:
        with self._watchdog.waiting(context, timeout_s, f"request: no message came for {timeout_s:g} s"):
            try:
                request = next(requests)
            except StopIteration:
                raise InvalidField("request", None, "one message") from None
            except grpc.RpcError:
                raise Cancelled from None
        current_call().judge()
        return request


def _parse_watched(parse: Any, request: bytes) -> Any:
    try:
        return parse(request)
    except DecodeError:
        # To be told as any other service that there is not.
        return HealthCheckRequest(service="?")


def _parsing(behavior: Any, parse: Any, request: bytes, context: grpc.ServicerContext) -> Any:
    try:
        message = parse(request)
    except DecodeError:
        told = f"a message of {len(request)} bytes"
        raise InvalidField("request", told, "the method's message, its texts in UTF-8") from None
    return behavior(message, context)
