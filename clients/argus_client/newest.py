"""The newest events of a query, found without reading those before them."""

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from argus_client.query import EventQuery
from argus_grpc.v1.export_pb2 import ExportHeader

if TYPE_CHECKING:
    from argus_client.client import ExportClient
    from argus_client.export import Export

# So few events more than wanted are read at once sooner than counted once more.
_CHEAP_EVENTS = 2_000
_MAX_COUNTS = 24


@dataclass(frozen=True)
class Newest:
    """The newest events by (timestamp, sequence), the newest first.

    header: of the export that they are from, which may have had some events before them.
    """

    events: pa.Table
    header: ExportHeader


def read_newest(client: "ExportClient", query: EventQuery, columns: tuple[str, ...], limit: int) -> Newest:
    """ExportClient.newest."""
    while True:
        plan = client.plan(query, columns=columns)
        names = [column.name for column in plan.columns]
        if "sequence" not in names:
            names.insert(0, "sequence")
        start_ns = None
        if plan.total_events > max(limit, _CHEAP_EVENTS):
            start_ns = newest_start(
                lambda start_ns: client.plan(replace(query, start=start_ns)).total_events,
                plan.first_timestamp.ToNanoseconds(),
                plan.last_timestamp.ToNanoseconds(),
                plan.total_events,
                limit,
            )
        narrowed = query if start_ns is None else replace(query, start=start_ns)
        with client.export(narrowed, columns=names) as export:
            batches = _last_rows(export, limit)
            events = pa.Table.from_batches(map(_reversed, reversed(batches)), export.schema)
            # Fewer than wanted: some have been removed since they were counted.
            if start_ns is None or events.num_rows == limit:
                return Newest(events, export.header)


def newest_start(
    count_from: Callable[[int], int], first_ns: int, last_ns: int, total: int, wanted: int
) -> int:
    """A timestamp from which on there are at least `wanted` events, and not many more where possible.

    count_from: how many of the events have this timestamp or a later one.
    first_ns, last_ns: the least and the greatest timestamp of all `total` events, total ≥ wanted ≥ 1.
    """
    enough = max(4 * wanted, _CHEAP_EVENTS)
    # As distances from last_ns + 1: within `far` there are enough events, within `near` too few.
    near, near_count = 0, 0
    far, far_count = last_ns + 1 - first_ns, total
    for attempt in range(_MAX_COUNTS):
        if far_count <= enough or far - near <= 1:
            break
        if attempt % 2 == 0:
            # As if events lay evenly, and a little more than wanted.
            aim = min(2 * wanted, far_count)
            guess = near + (far - near) * max(1, aim - near_count) // (far_count - near_count)
        else:
            # Where they do not: the same number of times nearer than `far` as farther than `near`.
            guess = math.isqrt(max(near, 1) * far)
        guess = min(max(guess, near + 1), far - 1)
        count = count_from(last_ns + 1 - guess)
        if count >= wanted:
            far, far_count = guess, count
        else:
            near, near_count = guess, count
    return last_ns + 1 - far


def _last_rows(export: "Export", limit: int) -> Sequence[pa.RecordBatch]:
    batches: deque[pa.RecordBatch] = deque()
    rows = 0
    for batch in export:
        batches.append(batch)
        rows += batch.num_rows
        while rows - batches[0].num_rows >= limit:
            rows -= batches.popleft().num_rows
    if rows > limit:
        batches[0] = batches[0].slice(rows - limit)
    return batches


def _reversed(batch: pa.RecordBatch) -> pa.RecordBatch:
    places = np.arange(batch.num_rows, dtype=np.int64)[::-1].copy()
    return batch.take(pa.Array.from_buffers(pa.int64(), len(places), [None, pa.py_buffer(places)]))
