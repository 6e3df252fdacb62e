"""A call → its record in the audit log. docs/audit-record.schema.json describes it."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Self

from google.protobuf.json_format import MessageToDict

from argus_grpc.access import NOTHING
from argus_grpc.calls import Call, ExportFacts, IngestFacts
from argus_grpc.errors import ArgusError
from argus_grpc.status import reason_of
from argus_grpc.v1.query_pb2 import EventQuery

_KINDS = {
    "StreamEvents": "export",
    "StreamAggregates": "export",
    "PlanExport": "plan",
    "IngestEvents": "ingest",
}
_REFUSALS = frozenset(
    {
        "FAILED_PRECONDITION",
        "INVALID_ARGUMENT",
        "OUT_OF_RANGE",
        "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED",
        "UNAUTHENTICATED",
    }
)


MAX_QUERY_BYTES = 64 * 1024
"""Of a query in JSON. Of a larger one a record has the size and the hash."""


@dataclass(frozen=True)
class Moment:
    """Seconds since the Unix epoch, and by time.monotonic()."""

    time_s: float
    monotonic_s: float

    @classmethod
    def now(cls) -> Self:
        return cls(time.time(), time.monotonic())


def is_audited(method: str) -> bool:
    """Whether every call of a method has a record. Those of other methods have one when they are refused."""
    return _name(method) in _KINDS


def is_refusal(call: Call, code: str) -> bool:
    """Whether a call that is over was given nothing, and nothing was taken in."""
    return code in _REFUSALS and call.export is None


def to_record(call: Call, code: str | None, moment: Moment) -> dict[str, Any] | None:
    """The record of a call that is over, by its status code's name; None if it needs none.

    code: None says that an export begins.
    moment: when that was.
    """
    state = "BEGUN" if code is None else _state(call, code)
    if not is_audited(call.method) and state != "REFUSED":
        return None
    record = {
        "time": _rfc3339(moment.time_s),
        "kind": _KINDS.get(_name(call.method), "other"),
        "state": state,
        "requestId": call.request_id,
        "who": _who(call),
        "peer": call.peer,
        "method": call.method.lstrip("/"),
        "policyVersion": call.policy_version,
        "code": code,
        "durationS": round(moment.monotonic_s - call.began_s, 6),
    }
    if call.error is not None:
        record["reason"] = reason_of(call.error)
        record["message"] = str(call.error) if isinstance(call.error, ArgusError) else None
    if call.export is not None:
        record |= _export(call.export)
    if call.ingest is not None:
        record |= _ingest(call.ingest)
    return {name: value for name, value in record.items() if value is not None}


def lost_record(count: int) -> dict[str, Any]:
    """Says that so many records found no room while the log could not be written."""
    return {"time": _rfc3339(time.time()), "kind": "lost", "records": count}


def suppressed_record(host: str, count: int) -> dict[str, Any]:
    """Says that so many refusals of callers at a host have no records."""
    return {"time": _rfc3339(time.time()), "kind": "suppressed", "peer": host, "records": count}


def to_line(record: Mapping[str, Any]) -> bytes:
    """One line of ASCII: nothing that a caller sent can end a line, or speak to a terminal."""
    return json.dumps(record, separators=(",", ":")).encode() + b"\n"


def _state(call: Call, code: str) -> str:
    if code == "OK":
        return call.export.completeness or "COMPLETE" if call.export else "COMPLETE"
    if code == "CANCELLED":
        return "CANCELLED"
    return "REFUSED" if is_refusal(call, code) else "FAILED"


def _who(call: Call) -> dict[str, str] | None:
    """None where that is not known."""
    caller = call.caller
    if caller is None:
        return None
    # A caller whose role there is not has been given none.
    role = caller.role if call.role is NOTHING else call.role.name
    return {"name": caller.name, "kind": caller.kind, "role": role}


def _export(export: ExportFacts) -> dict[str, Any]:
    facts = _query(export.query) | {
        "columns": list(export.columns),
        "redacted": list(export.redacted_columns),
        "aggregation": MessageToDict(export.aggregation) if export.aggregation else None,
        "watermark": export.watermark,
    }
    if not export.export_id:
        return facts
    return facts | {
        "exportId": export.export_id,
        "firstRow": export.first_row,
        "rows": export.rows,
        "bytes": export.payload_bytes,
        "digest": export.digest,
    }


def _query(query: EventQuery) -> dict[str, Any]:
    found = MessageToDict(query)
    text = json.dumps(found, separators=(",", ":")).encode()
    if len(text) <= MAX_QUERY_BYTES:
        return {"query": found}
    return {"queryBytes": len(text), "querySha256": sha256(text).hexdigest()}


def _ingest(ingest: IngestFacts) -> dict[str, Any]:
    stored = ingest.sequences
    return {
        "source": ingest.source or None,
        "batchId": ingest.batch_id or None,
        "bytes": ingest.request_bytes,
        "events": ingest.events,
        "firstSequence": stored[0] if stored else None,
        "lastSequence": stored[-1] if stored else None,
        "wasStoredBefore": ingest.was_stored_before if stored else None,
    }


def _name(method: str) -> str:
    return method.rpartition("/")[2]


def _rfc3339(time_s: float) -> str:
    return datetime.fromtimestamp(time_s, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
