"""How calls end, as any client is told."""

import time
from collections.abc import Callable

import grpc
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo
from grpc_status import rpc_status

PATIENCE_S = 30.0


def outcome(call: Callable[[], object]) -> str:
    """What a call comes to: OK, or code and reason, such as UNAUTHENTICATED NOT_AUTHENTICATED."""
    try:
        call()
    except grpc.RpcError as error:
        return outcome_of(error)
    return "OK"


def outcome_of(error: grpc.RpcError) -> str:
    """Its code, and the reason if it has one."""
    status = rpc_status.from_call(error)
    info = ErrorInfo()
    if status is None or not status.details or not status.details[0].Unpack(info):
        return str(error.code().name)
    return f"{error.code().name} {info.reason}"


def refusal_of(call: Callable[[], object]) -> tuple[grpc.StatusCode, str, str] | None:
    """The code, reason and field of the refusal that a call ends with, if it does."""
    try:
        call()
    except grpc.RpcError as raised:
        error: grpc.Call = raised  # type: ignore[assignment] # it is one, too
    else:
        return None
    status = rpc_status.from_call(error)
    assert status is not None
    info, field = ErrorInfo(), BadRequest()
    for detail in status.details:
        detail.Unpack(info)
        detail.Unpack(field)
    return error.code(), info.reason, field.field_violations[0].field if field.field_violations else ""


def wait_until(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline_s, "it did not come about in time"
        time.sleep(0.02)
