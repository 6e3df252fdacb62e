"""An export ends well only if everything about its stream adds up."""

import gc
from pathlib import Path

import google_crc32c
import grpc
import pyarrow as pa
import pytest

from argus_client import BrokenExport, ExportClient
from argus_grpc.columns import DEFAULT_COLUMNS
from argus_grpc.encode import to_arrow_stream
from argus_grpc.v1.export_pb2 import Encoding, Order, StreamEventsResponse
from tests.scripted import (
    Stall,
    Step,
    altered,
    batch,
    header,
    progress,
    scripted_server,
    status,
    summary,
)

GOOD: tuple[StreamEventsResponse, ...] = (header(5), batch(0, 2), progress(2), batch(2, 3), summary(5))


def set_to(path: str, value: object) -> StreamEventsResponse:
    """One of GOOD's messages with a field of it changed, such as "batch.crc32c"."""
    kind, field = path.split(".")
    step = next(s for s in GOOD if s.WhichOneof("payload") == kind)
    return altered(step, lambda message: setattr(getattr(message, kind), field, value))


def of_rows(*row_counts: int) -> bytes:
    """An Arrow stream of record batches with so many rows each."""
    good = pa.ipc.open_stream(batch(0, 5).batch.arrow).read_next_batch()
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, good.schema) as writer:
        for row_count in row_counts:
            writer.write_batch(good.slice(0, row_count))
    return bytes(sink.getvalue().to_pybytes())


def with_arrow(arrow: bytes) -> StreamEventsResponse:
    def alter(message: StreamEventsResponse) -> None:
        message.batch.arrow, message.batch.crc32c = arrow, google_crc32c.value(arrow)

    return altered(batch(0, 2), alter)


def in_rows() -> StreamEventsResponse:
    return altered(batch(0, 2), lambda message: message.batch.rows.events.add())


OTHER_COLUMNS = bytes(to_arrow_stream(pa.record_batch({"timestamp": pa.array([1, 2])})))

BROKEN: dict[str, tuple[tuple[Step, ...], str]] = {
    "nothing": ((), "ended before its header"),
    "no header": ((batch(0, 2), summary(2)), "begins with a batch, not with a header"),
    "second header": ((header(5), batch(0, 2), header(5)), "second header, after 2 of 5 events"),
    "header of a resumed export": ((header(5, first_row=2), batch(2, 3)), "begins at event 2 where 0 should"),
    "no summary": (GOOD[:-1], "without its summary, after 5 of 5 events"),
    "cut": (GOOD[:2], "without its summary, after 2 of 5 events"),
    "gap": ((header(5), batch(0, 2), batch(3, 2), summary(5)), "begins at event 3 where 2 should come"),
    "repeat": ((header(5), batch(0, 2), batch(0, 2), batch(2, 3)), "begins at event 0 where 2 should come"),
    "wrong crc": ((header(5), set_to("batch.crc32c", 1), *GOOD[2:]), "CRC-32C differs"),
    "wrong row count": ((header(5), set_to("batch.row_count", 3)), "says it has 3 events, but has 2"),
    "no rows": ((header(5), with_arrow(of_rows(0))), "has 0"),
    "row encoding": ((header(5), in_rows()), "not in the Arrow encoding"),
    "not arrow": ((header(5), with_arrow(b"not arrow at all")), "not an Arrow stream"),
    "cut arrow": ((header(5), with_arrow(batch(0, 2).batch.arrow[:-200])), "not an Arrow stream"),
    "two record batches": ((header(5), with_arrow(of_rows(1, 1))), "has 2 record batches"),
    "other columns": ((header(5), with_arrow(OTHER_COLUMNS)), "other columns than the header says"),
    "more than the header says": ((header(4), *GOOD[1:]), "more events came than the 4"),
    "fewer than the header says": ((header(6), *GOOD[1:]), "5 events came, but the header says 6"),
    "other total in the summary": ((*GOOD[:-1], summary(4)), "5 events came, but the summary says 4"),
    "other watermark in the summary": ((*GOOD[:-1], set_to("summary.watermark", 9)), "watermark is 9"),
    "complete with some remaining": ((*GOOD[:-1], set_to("summary.rows_remaining", 1)), "1 events remaining"),
    "completeness unset": ((*GOOD[:-1], set_to("summary.completeness", 0)), "UNSPECIFIED"),
    "truncated with none remaining": ((*GOOD[:-1], set_to("summary.completeness", 2)), "TRUNCATED with 0"),
    "progress elsewhere": ((header(5), batch(0, 2), progress(1)), "has sent 1 events, after 2 of 5"),
    "after the summary": ((*GOOD, batch(5, 1)), "a batch after the summary"),
    "unknown message": ((header(5), StreamEventsResponse()), "kind this client does not know"),
    "unknown column type": (
        (altered(header(0), lambda message: setattr(message.header.columns[0], "type", 99)),),
        "column timestamp is of a type",
    ),
    "data loss": ((*GOOD[:2], status(grpc.StatusCode.DATA_LOSS, "a checksum differs")), "a checksum differs"),
}  # fmt: skip


@pytest.fixture(scope="module")
def good_csv(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("good") / "out.csv"
    with scripted_server(*GOOD) as server, ExportClient(server.address) as client:
        client.export().to_csv(path)
    return path.read_bytes()


@pytest.mark.parametrize("name", BROKEN)
def test_what_does_not_add_up_is_broken_and_never_written(name: str, good_csv: bytes, tmp_path: Path) -> None:
    steps, message = BROKEN[name]
    with scripted_server(*steps) as server, ExportClient(server.address) as client:
        with pytest.raises(BrokenExport, match=message):
            client.export().to_csv(tmp_path / "out.csv")
        with pytest.raises(BrokenExport, match=message):
            client.export().to_arrow()
        assert len(server.requests) == 2
    assert not (tmp_path / "out.csv").exists()
    # What came before it may be kept, to be gone on with.
    part = tmp_path / "out.csv.part"
    assert not part.exists() or good_csv.startswith(part.read_bytes())


def test_a_good_stream_gives_header_batches_and_summary() -> None:
    with scripted_server(*GOOD) as server, ExportClient(server.address) as client:
        export = client.export(columns="all", limit=9, order="arrival")
        assert export.header == GOOD[0].header
        batches = list(export)
        assert [b.num_rows for b in batches] == [2, 3]
        assert pa.Table.from_batches(batches)["thread_id"].to_pylist() == [0, 1, 2, 3, 4]
        assert export.summary == GOOD[-1].summary
    (request,) = server.requests
    assert request.encoding == Encoding.ENCODING_ARROW
    assert (list(request.columns), request.limit, request.order) == (["all"], 9, Order.ORDER_ARRIVAL)


def test_an_export_of_nothing_is_an_empty_table_with_the_columns() -> None:
    with scripted_server(header(0), summary(0)) as server, ExportClient(server.address) as client:
        table = client.export().to_arrow()
    assert table.num_rows == 0
    assert table.column_names == [column.name for column in DEFAULT_COLUMNS]
    assert table.schema == pa.ipc.open_stream(batch(0, 1).batch.arrow).schema


def test_a_truncated_export_is_written_and_says_so(tmp_path: Path) -> None:
    with (
        scripted_server(header(2), batch(0, 2), summary(2, rows_remaining=7)) as server,
        ExportClient(server.address) as client,
    ):
        written = client.export(limit=2).to_csv(tmp_path / "out.csv")
    assert written.is_truncated
    assert (written.events, written.summary.rows_remaining) == (2, 7)
    assert written.size_bytes == (tmp_path / "out.csv").stat().st_size


def test_the_call_is_made_when_first_needed_and_once() -> None:
    with scripted_server(*GOOD) as server, ExportClient(server.address) as client:
        export = client.export()
        assert server.requests == []
        assert export.header.total_events == 5
        assert export.to_arrow().num_rows == 5
        assert len(server.requests) == 1
        with pytest.raises(RuntimeError, match="read once"):
            list(export)


def test_there_is_no_summary_before_the_end() -> None:
    with (
        scripted_server(*GOOD) as server,
        ExportClient(server.address) as client,
        client.export() as export,
    ):
        next(iter(export))
        with pytest.raises(RuntimeError, match="no summary"):
            _ = export.summary


def test_leaving_the_loop_calls_the_export_off() -> None:
    with scripted_server(*GOOD[:2], Stall()) as server, ExportClient(server.address) as client:
        export = client.export()
        for _ in export:
            break
        assert server.call_ended.wait(5)


def test_closing_calls_the_export_off() -> None:
    with scripted_server(header(5), Stall()) as server, ExportClient(server.address) as client:
        with client.export() as export:
            assert export.header.total_events == 5
            assert not server.call_ended.is_set()
        assert server.call_ended.wait(5)


def test_dropping_calls_the_export_off() -> None:
    with scripted_server(header(5), Stall()) as server, ExportClient(server.address) as client:
        export = client.export()
        assert export.header.total_events == 5
        del export
        gc.collect()
        assert server.call_ended.wait(5)


def test_a_closed_export_cannot_be_read() -> None:
    with scripted_server(*GOOD) as server, ExportClient(server.address) as client:
        export = client.export()
        export.close()
        with pytest.raises(RuntimeError, match="closed"):
            list(export)
        assert server.requests == []
