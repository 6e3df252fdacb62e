"""A gRPC server that takes any call: it plays the answers it was given, or else says who called."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, cast

import grpc
from google.protobuf.message import Message

from tests.scripted import EndWith


class AnyMethod(grpc.GenericRpcHandler):
    """Plays the answers of a method to its calls, the last of them to all further ones. Those of a method
    without any fail with INTERNAL, and what they had as authorization."""

    def __init__(self, answers: Mapping[str, Sequence[Message | EndWith]]) -> None:
        self._answers = {method: list(steps) for method, steps in answers.items()}
        self.address = ""
        self.methods: list[str] = []
        """What was called, in order."""

    def service(self, details: grpc.HandlerCallDetails) -> Any:
        caller = str(dict(details.invocation_metadata).get("authorization"))
        method = details.method.rpartition("/")[2]
        self.methods.append(method)

        def answer(_request: bytes, context: grpc.ServicerContext) -> bytes:
            steps = self._answers.get(method, [EndWith(grpc.StatusCode.INTERNAL, caller)])
            step = steps.pop(0) if len(steps) > 1 else steps[0]
            if isinstance(step, EndWith):
                context.abort_with_status(cast(grpc.Status, step))
            assert isinstance(step, Message)
            return step.SerializeToString()

        return grpc.unary_unary_rpc_method_handler(answer)


@contextmanager
def any_method_server(
    answers: Mapping[str, Sequence[Message | EndWith]] | None = None,
) -> Iterator[AnyMethod]:
    """On a free loopback port."""
    handler = AnyMethod(answers or {})
    server = grpc.server(ThreadPoolExecutor(4), handlers=[handler])
    handler.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield handler
    finally:
        server.stop(None).wait()
