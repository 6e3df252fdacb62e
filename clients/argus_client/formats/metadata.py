"""What an export is, read off its header: the one place that all formats take it from."""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from argus_client.grouping import format_group_key, format_measure
from argus_grpc.v1.event_pb2 import EventType
from argus_grpc.v1.export_pb2 import Column, ColumnType, ExportHeader, Order, PlanExportResponse
from argus_grpc.v1.query_pb2 import EventQuery

# What str.splitlines() and the readers that work like it take for the end of a line.
_LINE_BREAK = re.compile("[\x00-\x1f\x7f\x85\u2028\u2029]")


def compact_json(value: object) -> str:
    """JSON without spaces, non-ASCII characters as they are."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def query_metadata(query: EventQuery) -> dict[str, Any]:
    """The query as JSON has it: from, to and type always (null: not given), the rest where set."""
    types = [EventType.Name(code).removeprefix("EVENT_TYPE_") for code in query.event_types]
    described: dict[str, Any] = {
        "from": query.start_time.ToJsonString() if query.HasField("start_time") else None,
        "to": query.end_time.ToJsonString() if query.HasField("end_time") else None,
        "type": types or None,
    }
    if query.sources or query.source_prefixes:
        described["sources"] = [*query.sources, *(f"{prefix}*" for prefix in query.source_prefixes)]
    if query.thread_ids:
        described["threadIds"] = list(query.thread_ids)
    if query.carrier_threads:
        described["carrierThreads"] = list(query.carrier_threads)
    match = query.thread_name.WhichOneof("match")
    if match:
        described["threadName"] = {match: getattr(query.thread_name, match)}
    if query.HasField("min_duration_ns"):
        described["minDurationNs"] = query.min_duration_ns
    if query.HasField("max_duration_ns"):
        described["maxDurationNs"] = query.max_duration_ns
    if query.after_sequence:
        described["afterSequence"] = query.after_sequence
    return described


def export_metadata(header: ExportHeader) -> dict[str, Any]:
    """The export as JSON has it. Columns go by name; redactedColumns is there where some are."""
    described: dict[str, Any] = {
        "exportedAt": header.exported_at.ToJsonString(),
        "query": query_metadata(header.query),
        "totalEvents": header.total_events,
    }
    if header.HasField("aggregation"):
        described["groupBy"] = [format_group_key(key) for key in header.aggregation.group_by]
        described["measures"] = [format_measure(measure) for measure in header.aggregation.measures]
        described["totalGroups"] = header.aggregation.total_groups
    described["exportId"] = header.export_id
    described["watermark"] = header.watermark
    if not header.HasField("aggregation"):
        described["order"] = Order.Name(header.order).removeprefix("ORDER_").lower()
    described["columns"] = [column.name for column in header.columns]
    if header.redacted_columns:
        described["redactedColumns"] = list(header.redacted_columns)
    return described


def metadata_fields(header: ExportHeader) -> Iterable[tuple[str, str]]:
    """The export as keys in snake case and values in a line of text each.

    Numbers, times and names stand as they are, lists of them with commas; text of the user's is a JSON
    string or list. What is not set is left out.
    """
    metadata = export_metadata(header)
    query = metadata.pop("query")
    fields: Mapping[str, Any] = {
        "export_id": metadata["exportId"],
        "exported_at": metadata["exportedAt"],
        "from": query["from"],
        "to": query["to"],
        "type": query["type"],
        "sources": compact_json(query["sources"]) if "sources" in query else None,
        "thread_ids": query.get("threadIds"),
        "carrier_threads": query.get("carrierThreads"),
        "thread_name": compact_json(query["threadName"]) if "threadName" in query else None,
        "min_duration_ns": query.get("minDurationNs"),
        "max_duration_ns": query.get("maxDurationNs"),
        "after_sequence": query.get("afterSequence"),
        "group_by": metadata.get("groupBy") or None,
        "measures": metadata.get("measures"),
        "order": metadata.get("order"),
        "columns": metadata["columns"],
        "redacted_columns": metadata.get("redactedColumns"),
        "watermark": metadata["watermark"],
        "total_events": metadata["totalEvents"],
        "total_groups": metadata.get("totalGroups"),
    }
    for key, value in fields.items():
        if value is not None:
            text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
            yield key, _LINE_BREAK.sub(_escape, text)


def metadata_lines(header: ExportHeader) -> Iterable[str]:
    """The export as `key: value` lines without their ends, for CSV's comments."""
    return (f"{key}: {value}" for key, value in metadata_fields(header))


def _escape(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"


def plan_metadata(plan: PlanExportResponse) -> dict[str, Any]:
    """What an export would hold, as JSON has it."""
    return {
        "totalEvents": plan.total_events,
        "firstTimestamp": plan.first_timestamp.ToJsonString() if plan.HasField("first_timestamp") else None,
        "lastTimestamp": plan.last_timestamp.ToJsonString() if plan.HasField("last_timestamp") else None,
        "estimatedCsvBytes": plan.estimated_csv_bytes,
        "estimatedJsonBytes": plan.estimated_json_bytes,
        "watermark": plan.watermark,
        "removedEvents": plan.removed_events,
        "query": query_metadata(plan.query),
        "columns": [column.name for column in plan.columns],
        "redactedColumns": list(plan.redacted_columns),
    }


def column_metadata(column: Column) -> dict[str, Any]:
    """A column of the schema, as JSON has it."""
    return {
        "name": column.name,
        "jsonName": column.json_name,
        "title": column.title,
        "type": column_type_name(column),
        "unit": column.unit or None,
        "description": column.description,
        "carriedBy": [EventType.Name(code).removeprefix("EVENT_TYPE_") for code in column.carried_by],
        "isDefault": column.is_default,
    }


def column_type_name(column: Column) -> str:
    """The name of its type: string, int64, timestamp_ns."""
    return ColumnType.Name(column.type).removeprefix("COLUMN_TYPE_").lower()
