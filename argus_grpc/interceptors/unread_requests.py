"""Lets IngestEvents receive its request itself, so that one too many is refused before it costs memory."""

from collections.abc import Callable

import grpc

from argus_grpc.interceptors.call import INGEST_METHOD, Handler


class UnreadRequests(grpc.ServerInterceptor):
    """Hands the method an iterator in place of the request: of one message, as bytes.

    On the wire a stream of one message is the same as a single one, but gRPC receives and parses the
    latter before the method is called, and in the one thread that serves all calls.
    """

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Handler],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler:
        handler = continuation(handler_call_details)
        if handler is None or handler_call_details.method != INGEST_METHOD:
            return handler
        behavior = handler.unary_unary
        assert behavior is not None
        return grpc.stream_unary_rpc_method_handler(behavior, response_serializer=handler.response_serializer)
