"""Makes sure who calls, and that they may call this."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import grpc

from argus_grpc.access import Role
from argus_grpc.access.authenticator import Authenticator
from argus_grpc.calls import Call, current_call
from argus_grpc.errors import AccessChanged, ArgusError, NotPermitted
from argus_grpc.interceptors.call import HEALTH_CHECK, REFLECTION_METHOD, RPC_NAMES, CallLayer


class Identity(CallLayer):
    """Sets the call's principal and role, or refuses it: with NotAuthenticated who is not known, with
    NotPermitted who may not call this.

    Health checks are open to all, and reflection to all who are known. A method that is neither of these nor
    of our services is refused, so that one which is added without a thought lets nobody in.

    A stream ends with AccessChanged when its principal is no longer good, or has another role. To be told of
    that, have `look` called whenever it may be so. What else waits asks Call.judge after it.
    """

    def __init__(self, authenticator: Authenticator) -> None:
        self._authenticator = authenticator
        self._streams: dict[int, Call] = {}
        self._lock = threading.Lock()

    def look(self) -> None:
        """Interrupts the streams whose principals have what they had no more."""
        with self._lock:
            streams = list(self._streams.values())
        for call in streams:
            try:
                self._judge(call)
            except AccessChanged as error:
                call.interrupt(error)

    def concerns(self, method: str) -> bool:
        return method != HEALTH_CHECK

    @contextmanager
    def around(self, method: str, context: grpc.ServicerContext) -> Iterator[None]:
        call = current_call()
        call.policy_version = self._authenticator.policy.version
        call.principal = self._authenticator.authenticate(context.invocation_metadata(), context.auth_context)
        call.role = self._authenticator.role_of(call.principal)
        _check(method, call.role)
        call.judge = partial(self._judge, call)
        yield

    def along(self, messages: Iterator[Any], method: str, context: grpc.ServicerContext) -> Iterator[Any]:
        call = current_call()
        if method == REFLECTION_METHOD:
            # It waits for the client's next question, which only the end of the call ends.
            call.on_interrupt(context.cancel)
        with self._among_streams(call):
            try:
                for message in messages:
                    _raise_if_interrupted(call)
                    yield message
            except ArgusError:
                # What is interrupted may say so in its own words.
                _raise_if_interrupted(call)
                raise

    def _judge(self, call: Call) -> None:
        if self._authenticator.still(call.principal) != call.role:
            raise AccessChanged

    @contextmanager
    def _among_streams(self, call: Call) -> Iterator[None]:
        with self._lock:
            self._streams[id(call)] = call
        try:
            yield
        finally:
            with self._lock:
                del self._streams[id(call)]


def _check(method: str, role: Role) -> None:
    rpc = RPC_NAMES.get(method)
    if rpc is None:
        if method != REFLECTION_METHOD:
            raise NotPermitted(f"{method} is open to no role")
    elif role.rpcs is not None and rpc not in role.rpcs:
        raise NotPermitted(f"{rpc} is not open to the role {role.name!r}")


def _raise_if_interrupted(call: Call) -> None:
    if call.interruption is not None:
        raise call.interruption from None
