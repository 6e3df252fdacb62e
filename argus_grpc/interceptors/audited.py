"""Lets nothing out or in that could not be recorded."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc

from argus_grpc.audit import AuditLog, is_audited
from argus_grpc.calls import current_call
from argus_grpc.interceptors.call import CallLayer


class Audited(CallLayer):
    """Refuses exports, plans and ingests with AuditUnavailable while the audit log cannot be written, and
    ends running exports with it, which can be resumed. That an export begins is written before its header
    leaves.

    How calls end the log is told by Calls.
    """

    def __init__(self, log: AuditLog) -> None:
        self._log = log

    def concerns(self, method: str) -> bool:
        return is_audited(method)

    @contextmanager
    def around(self, method: str, context: grpc.ServicerContext) -> Iterator[None]:  # noqa: ARG002
        self._log.check()
        yield

    def along(self, messages: Iterator[Any], method: str, context: grpc.ServicerContext) -> Iterator[Any]:  # noqa: ARG002
        call = current_call()
        has_begun = False
        for message in messages:
            if has_begun:
                self._log.check()
            elif call.export is not None:
                self._log.begun(call)
                has_begun = True
            yield message
