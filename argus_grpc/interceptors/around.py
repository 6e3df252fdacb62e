"""The shape that every interceptor here has: a context manager around the whole of a call."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, TypeAlias

import grpc

# The type stubs have parameters here that the class itself does not have.
_Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any] | None"


class AroundInterceptor(grpc.ServerInterceptor, ABC):
    """Runs each call, a stream until its end, inside `around(method, context)`.

    Serves the kinds of method that this service has: those with a single request.
    """

    @abstractmethod
    def around(self, method: str, context: grpc.ServicerContext) -> AbstractContextManager[None]:
        """Entered before the handler and left when the call is over."""

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], _Handler],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> _Handler:
        handler = continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or handler.request_streaming:
            return handler
        serializers = {
            "request_deserializer": handler.request_deserializer,
            "response_serializer": handler.response_serializer,
        }
        if stream_behavior := handler.unary_stream:

            def stream(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
                with self.around(method, context):
                    yield from stream_behavior(request, context)

            return grpc.unary_stream_rpc_method_handler(stream, **serializers)

        unary_behavior = handler.unary_unary
        assert unary_behavior is not None

        def unary(request: Any, context: grpc.ServicerContext) -> Any:
            with self.around(method, context):
                return unary_behavior(request, context)

        return grpc.unary_unary_rpc_method_handler(unary, **serializers)
