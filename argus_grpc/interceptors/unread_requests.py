"""Has methods take their requests as bytes: one too many is refused before it costs memory, and one that is
no message as any other field that does not fit."""

from collections.abc import Callable
from functools import partial
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from grpc_health.v1.health_pb2 import HealthCheckRequest

from argus_grpc.errors import InvalidField
from argus_grpc.interceptors.call import HEALTH_WATCH, INGEST_METHOD, Handler


class UnreadRequests(grpc.ServerInterceptor):
    """Hands IngestEvents an iterator in place of the request: of one message, as bytes.

    On the wire a stream of one message is the same as a single one, but gRPC receives and parses the
    latter before the method is called, and in the one thread that serves all calls.

    The others' requests are parsed inside of the call: gRPC itself ends one that cannot be with INTERNAL.
    """

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Handler],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler:
        handler = continuation(handler_call_details)
        if handler is None or handler.request_streaming:
            return handler
        serialize = handler.response_serializer
        if handler_call_details.method == HEALTH_WATCH:
            assert handler.unary_stream is not None
            # The method as it is takes no thread, which any other around it would have it do.
            return grpc.unary_stream_rpc_method_handler(
                handler.unary_stream, partial(_parse_watched, handler.request_deserializer), serialize
            )
        if handler_call_details.method == INGEST_METHOD:
            assert handler.unary_unary is not None
            return grpc.stream_unary_rpc_method_handler(handler.unary_unary, response_serializer=serialize)
        parse = handler.request_deserializer
        if behavior := handler.unary_stream:
            stream = partial(_parsing, behavior, parse)
            return grpc.unary_stream_rpc_method_handler(stream, response_serializer=serialize)
        unary = partial(_parsing, handler.unary_unary, parse)
        return grpc.unary_unary_rpc_method_handler(unary, response_serializer=serialize)


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
