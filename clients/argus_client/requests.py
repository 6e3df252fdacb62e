"""The requests of exports, made of what a Python user gives and checked. All raise InvalidRequest."""

from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from argus_client.errors import Violation
from argus_client.grouping import parse_group_key, parse_measure
from argus_client.query import EventQuery, invalid_request
from argus_client.stream import ResumePoint
from argus_grpc.v1.export_pb2 import Encoding, Order, StreamAggregatesRequest, StreamEventsRequest

_ORDERS: Mapping[str, "Order.ValueType"] = {"time": Order.ORDER_TIME, "arrival": Order.ORDER_ARRIVAL}
_DEFAULT_BATCH_BYTES = 2 * 1024 * 1024
_BATCH_BYTES = range(16 * 1024, _DEFAULT_BATCH_BYTES + 1)

_T = TypeVar("_T")


def events_request(
    query: EventQuery | None,
    columns: str | Iterable[str],
    *,
    limit: int | None,
    order: str,
    follow: bool,
    max_batch_bytes: int | None,
    after: ResumePoint | None,
) -> StreamEventsRequest:
    """The arguments of ExportClient.export. after: its resume_from, which the limit counts from as well."""
    if order not in _ORDERS:
        raise not_allowed("order", order, " and ".join(_ORDERS))
    if limit is not None and follow:
        raise not_allowed("limit", limit, "None for an export that is followed")
    _check_sizes(limit, max_batch_bytes, after)
    return StreamEventsRequest(
        query=(query or EventQuery()).to_message(),
        columns=to_names(columns),
        encoding=Encoding.ENCODING_ARROW,
        limit=limit or 0,
        order=_ORDERS[order],
        follow=follow,
        max_batch_bytes=max_batch_bytes or _DEFAULT_BATCH_BYTES,
    )


def aggregates_request(
    query: EventQuery | None,
    group_by: str | Iterable[str],
    measures: str | Iterable[str],
    *,
    limit: int | None,
    max_batch_bytes: int | None,
    after: ResumePoint | None,
) -> StreamAggregatesRequest:
    """The arguments of ExportClient.aggregate. after: its resume_from."""
    _check_sizes(limit, max_batch_bytes, after)
    return StreamAggregatesRequest(
        query=(query or EventQuery()).to_message(),
        group_by=_parsed("group_by", group_by, parse_group_key),
        measures=_parsed("measures", measures or "count", parse_measure),
        encoding=Encoding.ENCODING_ARROW,
        limit=limit or 0,
        max_batch_bytes=max_batch_bytes or _DEFAULT_BATCH_BYTES,
    )


def to_names(columns: str | Iterable[str]) -> tuple[str, ...]:
    """The names of columns."""
    # A lone string would else be taken as its letters.
    return (columns,) if isinstance(columns, str) else tuple(columns)


def not_allowed(field: str, value: object, allowed: str) -> Exception:
    """What to raise for an argument of this value."""
    return invalid_request((Violation(field, f"{value!r} is not allowed; allowed: {allowed}"),))


def _parsed(field: str, texts: str | Iterable[str], parse: Callable[[str], _T]) -> tuple[_T, ...]:
    try:
        return tuple(parse(text) for text in to_names(texts))
    except ValueError as error:
        raise invalid_request((Violation(field, str(error)),)) from None


def _check_sizes(limit: int | None, max_batch_bytes: int | None, after: ResumePoint | None) -> None:
    if limit is not None and limit < 1:
        raise not_allowed("limit", limit, "1 or more; None for no limit")
    if limit is not None and after is not None and limit < after.rows:
        raise not_allowed("limit", limit, f"{after.rows} or more, the events before resume_from")
    if max_batch_bytes is not None and max_batch_bytes not in _BATCH_BYTES:
        allowed = f"{_BATCH_BYTES.start} to {_BATCH_BYTES.stop - 1}; None for 2 MiB"
        raise not_allowed("max_batch_bytes", max_batch_bytes, allowed)
