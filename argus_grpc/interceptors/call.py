"""What stands around calls, and the interceptor that has calls pass through it."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, ExitStack, closing, nullcontext
from functools import partial
from typing import Any, TypeAlias, cast

import grpc
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from argus_grpc.later import then
from argus_grpc.v1 import export_pb2, ingest_pb2

# The type stubs have parameters here that the class itself does not have.
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any] | None"

# As gRPC names them.
_EXPORT_SERVICE = export_pb2.DESCRIPTOR.services_by_name["ExportService"].full_name
OUR_METHODS = f"/{export_pb2.DESCRIPTOR.package}."
"""What the names of all of them begin with; those of gRPC's own services do not."""
EXPORT_METHODS = (f"/{_EXPORT_SERVICE}/StreamEvents", f"/{_EXPORT_SERVICE}/StreamAggregates")
PLAN_METHOD = f"/{_EXPORT_SERVICE}/PlanExport"
INGEST_METHOD = f"/{ingest_pb2.DESCRIPTOR.services_by_name['IngestService'].full_name}/IngestEvents"

RPC_NAMES = {
    f"/{service.full_name}/{rpc.name}": rpc.name
    for file in (export_pb2, ingest_pb2)
    for service in file.DESCRIPTOR.services_by_name.values()
    for rpc in service.methods
}
"""Of our services' methods, as roles name them."""
_HEALTH = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
HEALTH_CHECK = f"/{_HEALTH}/Check"
HEALTH_WATCH = f"/{_HEALTH}/Watch"
_REFLECTION = reflection_pb2.DESCRIPTOR.services_by_name["ServerReflection"].full_name
REFLECTION_METHOD = f"/{_REFLECTION}/ServerReflectionInfo"


class CallLayer:
    """Stands around each call, a stream until its end, with `around`, and a stream's messages pass through
    `along`."""

    def concerns(self, method: str) -> bool:  # noqa: ARG002
        """Whether it stands around calls of this method."""
        return True

    def around(self, method: str, context: grpc.ServicerContext) -> AbstractContextManager[None]:  # noqa: ARG002
        """Entered before the handler and left when the call is over, by whichever thread ends it."""
        return nullcontext()

    def along(self, messages: Iterator[Any], method: str, context: grpc.ServicerContext) -> Iterator[Any]:  # noqa: ARG002
        """The messages of a stream, as they are given to gRPC."""
        return messages


class CallLayers(grpc.ServerInterceptor):
    """Has calls pass through layers, the first of them outermost. As one interceptor, since each more costs
    every call.

    A method may give messages that are serialized already, which spares copies of large ones; and a Future
    in place of a single answer: see LaterAnswers.

    Watching the health passes through none of them: it is open to all, and has no thread of its own as long
    as it is handed to gRPC as it is.
    """

    def __init__(self, layers: Sequence[CallLayer]) -> None:
        self._layers = layers
        self._handlers: dict[str, Handler] = {}

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Handler],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler:
        method = handler_call_details.method
        # gRPC asks at every call. A method that there is has one handler; of those that there are not
        # callers could name any number.
        if method not in self._handlers:
            handler = self._wrap(continuation(handler_call_details), method)
            if handler is None:
                return None
            self._handlers[method] = handler
        return self._handlers[method]

    def _wrap(self, handler: Handler, method: str) -> Handler:
        layers = [layer for layer in self._layers if layer.concerns(method)]
        if handler is None or method == HEALTH_WATCH or not layers:
            return handler
        serializers = {
            "request_deserializer": handler.request_deserializer,
            "response_serializer": _passing_bytes(handler.response_serializer),
        }
        if stream_behavior := handler.unary_stream or handler.stream_stream:

            def stream(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
                with ExitStack() as stack:
                    for layer in layers:
                        stack.enter_context(layer.around(method, context))
                    messages = cast(Any, stream_behavior(request, context))
                    # Closed here, since an error that is kept would keep what it went through open.
                    stack.enter_context(closing(messages))
                    for layer in reversed(layers):
                        along = layer.along(messages, method, context)
                        if along is not messages:
                            messages = stack.enter_context(closing(cast(Any, along)))
                    yield from messages

            if handler.request_streaming:
                return grpc.stream_stream_rpc_method_handler(stream, **serializers)
            return grpc.unary_stream_rpc_method_handler(stream, **serializers)

        # A method that reads its request itself: see UnreadRequests.
        unary_behavior = handler.stream_unary or handler.unary_unary
        assert unary_behavior is not None

        def unary(request: Any, context: grpc.ServicerContext) -> Any:
            with ExitStack() as stack:
                for layer in layers:
                    stack.enter_context(layer.around(method, context))
                answer = unary_behavior(request, context)
                return (
                    then(answer, partial(_leave, stack.pop_all())) if isinstance(answer, Future) else answer
                )

        if handler.request_streaming:
            return grpc.stream_unary_rpc_method_handler(unary, **serializers)
        return grpc.unary_unary_rpc_method_handler(unary, **serializers)


def _leave(stack: ExitStack, answer: "Future[Any]") -> Any:
    with stack:
        return answer.result()


def _passing_bytes(serialize: Callable[[Any], bytes] | None) -> Callable[[Any], bytes]:
    assert serialize is not None
    return lambda message: message if isinstance(message, bytes) else serialize(message)
