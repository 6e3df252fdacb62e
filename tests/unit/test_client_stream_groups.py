"""A stream of groups has to add up as one of events has."""

from collections.abc import Callable

import google_crc32c
import pyarrow as pa
import pytest

from argus_client import BrokenExport
from argus_client.stream import StreamVerifier
from argus_grpc.encode import to_arrow_stream
from argus_grpc.v1.aggregate_pb2 import AggregateBatch, Aggregation, GroupBy
from argus_grpc.v1.export_pb2 import (
    Column,
    ColumnType,
    ExportHeader,
    ExportSummary,
    Progress,
    StreamAggregatesResponse,
)

COLUMNS = [Column(name="count", type=ColumnType.COLUMN_TYPE_INT64)]


def header(groups: int = 3, **fields: object) -> StreamAggregatesResponse:
    aggregation = Aggregation(group_by=[GroupBy(column="source")], total_groups=groups)
    head = ExportHeader(columns=COLUMNS, total_events=100, aggregation=aggregation, resume_token="t0")
    head.MergeFrom(ExportHeader(**fields))  # type: ignore[arg-type]
    return StreamAggregatesResponse(header=head)


def batch(first_row: int, rows: int) -> StreamAggregatesResponse:
    arrow = bytes(to_arrow_stream(pa.record_batch({"count": pa.array(range(rows), pa.int64())})))
    return StreamAggregatesResponse(
        batch=AggregateBatch(
            first_row=first_row,
            row_count=rows,
            resume_token=f"t{first_row + rows}",
            crc32c=google_crc32c.value(arrow),
            arrow=arrow,
        )
    )


def summary(groups: int) -> StreamAggregatesResponse:
    complete = ExportSummary.COMPLETENESS_COMPLETE
    return StreamAggregatesResponse(summary=ExportSummary(completeness=complete, total_rows=groups))


PROGRESS = StreamAggregatesResponse(progress=Progress(watermark=7))


def accept(*messages: StreamAggregatesResponse) -> int:
    verifier = StreamVerifier(grouped=True)
    verifier.begin_call()
    rows: int = sum(found.num_rows for message in messages if (found := verifier.accept(message)) is not None)
    verifier.finish()
    return rows


def test_groups_are_counted_by_their_own_total_and_progress_may_come_before() -> None:
    assert accept(PROGRESS, PROGRESS, header(), batch(0, 2), batch(2, 1), summary(3)) == 3


def test_progress_before_the_header_changes_nothing_of_where_it_stands() -> None:
    verifier = StreamVerifier(grouped=True)
    verifier.begin_call()
    for message in (header(), batch(0, 2)):
        verifier.accept(message)
    verifier.begin_call()
    verifier.accept(PROGRESS)
    assert (verifier.resume_token, verifier.next_row, verifier.call_has_header) == ("t2", 2, False)
    verifier.accept(header(first_row=2))
    assert verifier.accept(batch(2, 1)) is not None


@pytest.mark.parametrize(
    ("break_", "told"),
    [
        (lambda: accept(header(2), batch(0, 3)), "more groups came than the 2 that the header says"),
        (lambda: accept(header(4), batch(0, 3), summary(3)), "3 groups came, but the header says 4"),
        (lambda: accept(header(), batch(0, 3)), "without its summary, after 3 of 3 groups"),
        (lambda: accept(header(), batch(1, 2)), "groups are missing or repeated: a batch begins at group 1"),
        (lambda: accept(batch(0, 3)), "the stream begins with a batch, not with a header"),
        (lambda: accept(PROGRESS), "the stream ended before its header"),
        (
            lambda: accept(StreamAggregatesResponse(header=ExportHeader(columns=COLUMNS, total_events=3))),
            "the stream is not one of groups",
        ),
    ],
)
def test_what_does_not_add_up_is_told_of_groups(break_: Callable[[], int], told: str) -> None:
    with pytest.raises(BrokenExport, match=told):
        break_()


def test_another_grouping_is_another_export() -> None:
    verifier = StreamVerifier(grouped=True)
    verifier.begin_call()
    verifier.accept(header())
    verifier.begin_call()
    other = header()
    other.header.aggregation.group_by[0].column = "stack"
    with pytest.raises(BrokenExport, match=r'its aggregation was group_by . column: "source"'):
        verifier.accept(other)


def test_an_export_of_events_is_not_one_of_groups() -> None:
    verifier = StreamVerifier()
    verifier.begin_call()
    with pytest.raises(BrokenExport, match="the stream is not one of events"):
        verifier.accept(header())
