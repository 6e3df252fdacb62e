"""The two services: proto ↔ domain, in the order of the protos. No SQL, no status codes."""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from functools import partial

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from argus_grpc.access.granted import GrantedQuery, grant, visible_columns
from argus_grpc.aggregate import Aggregate, AggregateRequest
from argus_grpc.bounds import MemoryBudget
from argus_grpc.calls import ExportFacts, IngestFacts, current_call
from argus_grpc.columns import Column
from argus_grpc.encode import Encoded, encode_batch, encode_groups
from argus_grpc.errors import Cancelled, InvalidField
from argus_grpc.export import Batch, Export, ExportRequest
from argus_grpc.follow import HEARTBEAT_S, Exporter, Reached
from argus_grpc.grouping import choose_grouping
from argus_grpc.ingest import Admission, ingest
from argus_grpc.later import then
from argus_grpc.limits import Accounts, RowAllowance
from argus_grpc.plan import plan_export
from argus_grpc.query import check_query
from argus_grpc.store import Appended, DuckDbStore
from argus_grpc.tokens import TokenMaker
from argus_grpc.v1.aggregate_pb2 import Aggregation
from argus_grpc.v1.export_pb2 import (
    Encoding,
    ExportHeader,
    ExportSummary,
    ListColumnsRequest,
    ListColumnsResponse,
    Order,
    PlanExportRequest,
    PlanExportResponse,
    Progress,
    StreamAggregatesRequest,
    StreamAggregatesResponse,
    StreamEventsRequest,
    StreamEventsResponse,
)
from argus_grpc.v1.export_pb2_grpc import ExportServiceServicer
from argus_grpc.v1.ingest_pb2 import IngestEventsResponse
from argus_grpc.v1.ingest_pb2_grpc import IngestServiceServicer
from argus_grpc.v1.query_pb2 import EventQuery
from argus_grpc.version import VERSION

DEFAULT_BATCH_BYTES = 1024 * 1024
BATCH_BYTES_ALLOWED = range(16 * 1024, 2 * 1024 * 1024 + 1)


class ExportService(ExportServiceServicer):
    def __init__(
        self, store: DuckDbStore, tokens: TokenMaker, budget: MemoryBudget, accounts: Accounts
    ) -> None:
        self._store = store
        self._tokens = tokens
        self._budget = budget
        self._accounts = accounts

    def ListColumns(self, request: ListColumnsRequest, context: grpc.ServicerContext) -> ListColumnsResponse:
        role = current_call().role
        columns = visible_columns(role)
        return ListColumnsResponse(
            columns=[column.to_message() for column in columns],
            redacted_columns=[column.name for column in columns if column.name in role.redacted_columns],
        )

    def PlanExport(self, request: PlanExportRequest, context: grpc.ServicerContext) -> PlanExportResponse:
        granted = _to_granted(request.query)
        columns = granted.choose_columns(request.columns)
        plan = plan_export(self._store, granted, columns)
        first, last = map(_to_timestamp, plan.extent.timestamps_ns or (None, None))
        answer = PlanExportResponse(
            total_events=plan.extent.row_count,
            estimated_csv_bytes=plan.estimated_csv_bytes,
            estimated_json_bytes=plan.estimated_json_bytes,
            first_timestamp=first,
            last_timestamp=last,
            watermark=plan.watermark,
            query=granted.query,
            columns=[column.to_message() for column in columns],
            redacted_columns=granted.redacted_among(columns),
            removed_events=plan.extent.removed_through,
        )
        current_call().export = _facts(answer)
        return answer

    # Some messages are serialized already: see CallLayers.
    def StreamEvents(  # type: ignore[override]
        self, request: StreamEventsRequest, context: grpc.ServicerContext
    ) -> Iterator[StreamEventsResponse | bytes]:
        export_request = _to_export_request(request)
        exporter = Exporter(export_request, self._store, self._tokens, self._budget)
        context.add_callback(exporter.cancel)
        current_call().on_interrupt(exporter.cancel)
        with self._accounts.rows(current_call()) as allowance:
            with exporter.export(request.resume_token) as export:
                allowance.reserve(export.rows_to_send)
                header = _to_header(export, export_request)
                facts = current_call().export = _facts(header)
                encode = partial(_encode, request.encoding, facts, allowance)
                yield StreamEventsResponse(header=header)
                # By map(), which does not hold on to the last batch while a follower waits.
                yield from map(encode, export.batches())
                if not request.follow:
                    yield StreamEventsResponse(summary=_to_summary(export, facts))
                    return
            yield from map(encode, exporter.follow(export))

    def StreamAggregates(  # type: ignore[override]
        self, request: StreamAggregatesRequest, context: grpc.ServicerContext
    ) -> Iterator[StreamAggregatesResponse | bytes]:
        aggregate_request = _to_aggregate_request(request)
        with (
            self._accounts.rows(current_call()) as allowance,
            Aggregate(aggregate_request, self._store, self._tokens, request.resume_token) as aggregate,
        ):
            if not context.add_callback(aggregate.cancel):
                raise Cancelled
            current_call().on_interrupt(aggregate.cancel)
            for _ in aggregate.begin(HEARTBEAT_S):
                yield StreamAggregatesResponse(progress=Progress(watermark=aggregate.watermark))
            allowance.reserve(aggregate.rows_to_send)
            header = _to_groups_header(aggregate, aggregate_request)
            facts = current_call().export = _facts(header)
            yield StreamAggregatesResponse(header=header)
            columns = aggregate_request.grouping.columns
            for batch in aggregate.batches():
                encoded = encode_groups(
                    batch.groups, columns, request.encoding, batch.first_row, batch.resume_token
                )
                yield _counted(encoded, facts, allowance)
            yield StreamAggregatesResponse(summary=_to_summary(aggregate, facts))


class IngestService(IngestServiceServicer):
    def __init__(self, store: DuckDbStore, admission: Admission) -> None:
        self._store = store
        self._admission = admission

    # Its request has not been received yet: see UnreadRequests. Its answer comes later: see LaterAnswers.
    def IngestEvents(  # type: ignore[override]
        self, receive: Callable[[], bytes], context: grpc.ServicerContext
    ) -> "Future[IngestEventsResponse]":
        call = current_call()
        facts = call.ingest = IngestFacts()

        def is_wanted() -> bool:
            call.judge()
            return context.is_active()

        stored = ingest(self._store, self._admission, facts, call.role, receive, is_wanted)
        return then(stored, lambda done: _to_response(done.result(), facts))


def _to_response(stored: Appended, facts: IngestFacts) -> IngestEventsResponse:
    facts.sequences, facts.was_stored_before = stored.sequences, stored.was_stored_before
    return IngestEventsResponse(
        first_sequence=stored.sequences[0],
        last_sequence=stored.sequences[-1],
        was_stored_before=stored.was_stored_before,
    )


def _to_granted(query: EventQuery) -> GrantedQuery:
    """What the caller may have of a query. Raises InvalidField, NotPermitted."""
    check_query(query)
    call = current_call()
    return grant(query, call.principal, call.role, time.time_ns())


def _to_export_request(request: StreamEventsRequest) -> ExportRequest:
    granted = _to_granted(request.query)
    _check_encoding_and_limit(request)
    if request.order not in Order.values():
        raise InvalidField("order", request.order, ", ".join(Order.keys()))
    if request.limit and request.follow:
        raise InvalidField("limit", request.limit, "0 (no limit) where follow is set")
    return ExportRequest(
        granted=granted,
        columns=granted.choose_columns(request.columns),
        order=request.order or Order.ORDER_TIME,
        max_rows=request.limit or None,
        max_batch_bytes=_to_max_batch_bytes(request.max_batch_bytes),
    )


def _to_aggregate_request(request: StreamAggregatesRequest) -> AggregateRequest:
    granted = _to_granted(request.query)
    _check_encoding_and_limit(request)
    grouping = choose_grouping(request.group_by, request.measures)
    granted.check_reads(grouping.reads)
    return AggregateRequest(
        granted=granted,
        grouping=grouping,
        max_rows=request.limit or None,
        max_batch_bytes=_to_max_batch_bytes(request.max_batch_bytes),
    )


def _check_encoding_and_limit(request: StreamEventsRequest | StreamAggregatesRequest) -> None:
    if request.encoding not in Encoding.values():
        raise InvalidField("encoding", request.encoding, ", ".join(Encoding.keys()))
    if request.limit < 0:
        raise InvalidField("limit", request.limit, "0 (no limit) or more")


def _to_max_batch_bytes(max_batch_bytes: int) -> int:
    max_batch_bytes = max_batch_bytes or DEFAULT_BATCH_BYTES
    if max_batch_bytes not in BATCH_BYTES_ALLOWED:
        allowed = (
            f"{BATCH_BYTES_ALLOWED.start} to {BATCH_BYTES_ALLOWED.stop - 1}, or 0 for {DEFAULT_BATCH_BYTES}"
        )
        raise InvalidField("max_batch_bytes", max_batch_bytes, allowed)
    return max_batch_bytes


def _to_header(export: Export, request: ExportRequest) -> ExportHeader:
    header = _header(export, request.columns)
    header.order = request.order
    header.total_events = export.total_rows
    return header


def _to_groups_header(aggregate: Aggregate, request: AggregateRequest) -> ExportHeader:
    grouping = request.grouping
    header = _header(aggregate, grouping.columns)
    header.total_events = aggregate.total_events
    header.aggregation.CopyFrom(
        Aggregation(group_by=grouping.group_by, measures=grouping.measures, total_groups=aggregate.total_rows)
    )
    return header


def _header(export: Export | Aggregate, columns: Sequence[Column]) -> ExportHeader:
    granted = export.granted_at_first
    return ExportHeader(
        export_id=export.export_id,
        exported_at=_to_timestamp(export.exported_at_ns),
        query=granted.query,
        columns=[column.to_message() for column in columns],
        redacted_columns=granted.redacted_among(columns),
        watermark=export.watermark,
        first_row=export.first_row,
        resume_token=export.resume_token(),
        server_version=VERSION,
        store_id=export.store_id,
        removed_events=export.removed_events,
    )


def _facts(told: ExportHeader | PlanExportResponse) -> ExportFacts:
    facts = ExportFacts(
        "",
        told.query,
        tuple(column.name for column in told.columns),
        tuple(told.redacted_columns),
        told.watermark,
    )
    if isinstance(told, ExportHeader):
        facts.export_id, facts.first_row = told.export_id, told.first_row
        facts.aggregation = told.aggregation if told.HasField("aggregation") else None
    return facts


def _counted(encoded: Encoded, facts: ExportFacts, allowance: RowAllowance) -> bytes:
    allowance.send(encoded.row_count)
    facts.sends(encoded.first_row, encoded.row_count, encoded.payload_bytes, encoded.crc32c)
    return encoded.message


def _encode(
    encoding: "Encoding.ValueType", facts: ExportFacts, allowance: RowAllowance, part: Batch | Reached
) -> StreamEventsResponse | bytes:
    if isinstance(part, Batch):
        encoded = encode_batch(part.events, encoding, part.first_row, part.resume_token)
        return _counted(encoded, facts, allowance)
    facts.watermark = part.watermark
    progress = Progress(rows_sent=part.rows_sent, resume_token=part.resume_token, watermark=part.watermark)
    return StreamEventsResponse(progress=progress)


def _to_summary(export: Export | Aggregate, facts: ExportFacts) -> ExportSummary:
    facts.completeness = "TRUNCATED" if export.rows_remaining else "COMPLETE"
    summary = ExportSummary(
        completeness=ExportSummary.COMPLETENESS_COMPLETE,
        total_rows=export.rows_sent,
        watermark=export.watermark,
    )
    if export.rows_remaining:
        summary.completeness = ExportSummary.COMPLETENESS_TRUNCATED
        summary.rows_remaining = export.rows_remaining
        summary.continuation_token = export.resume_token()
    return summary


def _to_timestamp(ns: int | None) -> Timestamp | None:
    if ns is None:
        return None
    seconds, nanos = divmod(ns, 1_000_000_000)
    return Timestamp(seconds=seconds, nanos=nanos)
