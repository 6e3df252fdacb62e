"""Answers about the health, whatever other calls do, and strangers among them."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import Any, cast

import grpc
from grpc import _server

from argus_grpc.interceptors.call import HEALTH_CHECK, HEALTH_WATCH, Handler
from argus_grpc.interceptors.watchdog import Wait, Watchdog

_THREADS = 2


class HealthRequests(grpc.ServerInterceptor):
    """Has no thread wait for the requests of Check and Watch, nor for their readers, and threads of their own
    serve them.

    They are open to all: strangers would otherwise hold threads by sending headers only. A call whose message
    does not come within timeout_s seconds ends with UNAVAILABLE. Close it once gRPC has stopped.
    """

    def __init__(self, watchdog: Watchdog, timeout_s: float) -> None:
        self._watchdog = watchdog
        self._timeout_s = timeout_s
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="health")
        self._handlers: dict[str, Handler] = {}

    def close(self) -> None:
        self._threads.shutdown()

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Handler],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler:
        method = handler_call_details.method
        if method not in (HEALTH_CHECK, HEALTH_WATCH):
            return continuation(handler_call_details)
        if method not in self._handlers:
            self._handlers[method] = self._receiving(continuation(handler_call_details))
        return self._handlers[method]

    def _receiving(self, handler: Handler) -> Handler:
        assert handler is not None
        parse = handler.request_deserializer or (lambda request: request)

        def begin(_: object, context: grpc.ServicerContext, __: object) -> None:
            def answer(request: bytes) -> None:
                if handler.response_streaming:
                    sends = _Sends(context, handler.response_serializer)
                    cast(Any, handler.unary_stream)(parse(request), context, sends.send)
                    return
                # As gRPC itself does it, once it has the message.
                call = cast(Any, context)
                cast(Any, _server)._unary_response_in_pool(
                    call._rpc_event,
                    call._state,
                    handler.unary_unary,
                    partial(parse, request),
                    handler.request_deserializer,
                    handler.response_serializer,
                )

            why = f"request: no message came for {self._timeout_s:g} s"
            wait = Wait(self._watchdog, context, self._timeout_s, why)
            run = copy_context().run
            _receive(context, wait, lambda request: self._threads.submit(run, answer, request))

        # gRPC lets a stream's method return before its messages are there, and on the wire a stream of one
        # message is the same as a single one.
        begin.experimental_non_blocking = True  # type: ignore[attr-defined]
        begin.experimental_thread_pool = self._threads  # type: ignore[attr-defined]
        return grpc.stream_stream_rpc_method_handler(cast(Any, begin))


def _receive(context: grpc.ServicerContext, wait: Wait, on_request: Callable[[bytes], object]) -> None:
    """Has on_request called with the message that the call brings. To wait for it without a thread has no
    public name."""
    server, call, state = cast(Any, _server), cast(Any, context)._rpc_event.call, cast(Any, context)._state
    received = server._receive_message(state, call, None)

    def on_received(event: Any) -> Any:
        wait.end()
        finished = received(event)
        with state.condition:
            request, state.request = state.request, None
            if request is None and state.client is server._CLOSED:
                server._abort(
                    state, call, server.cygrpc.StatusCode.invalid_argument, b"request: no message came"
                )
        if request is not None:
            on_request(request)
        return finished

    with state.condition:
        if not server._is_rpc_state_active(state):
            return
        wait.begin()
        call.start_server_batch((server.cygrpc.ReceiveMessageOperation(0),), on_received)
        state.due.add(server._RECEIVE_MESSAGE_TOKEN)


class _Sends:
    """Sends a watcher the latest status, without a wait for it to be read: gRPC's own way waits, and the
    health's lock is held then, so that one watcher who reads nothing would keep all from being answered."""

    def __init__(self, context: grpc.ServicerContext, serialize: Any) -> None:
        self._call = cast(Any, context)._rpc_event.call
        self._state = cast(Any, context)._state
        self._serialize = serialize
        self._latest: Any = None
        self._is_sending = False

    def send(self, status: Any) -> None:
        """None, when the call is over, has nothing sent."""
        with self._state.condition:
            self._latest = status
            if not self._is_sending:
                self._send_latest()

    def _send_latest(self) -> None:
        server = cast(Any, _server)
        if self._latest is None or not server._is_rpc_state_active(self._state):
            return
        operations = [server.cygrpc.SendMessageOperation(self._serialize(self._latest), 0)]
        if self._state.initial_metadata_allowed:
            operations.insert(0, server._get_initial_metadata_operation(self._state, None))
            self._state.initial_metadata_allowed = False
        self._latest = None
        self._is_sending = True
        self._call.start_server_batch(operations, self._on_sent)
        self._state.due.add(server._SEND_MESSAGE_TOKEN)

    def _on_sent(self, _: Any) -> Any:
        server = cast(Any, _server)
        with self._state.condition:
            finished = server._possibly_finish_call(self._state, server._SEND_MESSAGE_TOKEN)
            self._is_sending = False
            self._send_latest()
            return finished
