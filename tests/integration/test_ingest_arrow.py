"""Arrow batches in: equal to what was exported and to what rows store, and refused by column and row."""

from collections.abc import Callable
from typing import Any

import grpc
import pandas as pd
import pyarrow as pa
import pytest
from google.rpc.error_details_pb2 import BadRequest
from grpc_status import rpc_status
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from argus_client import ExportClient, InvalidRequest
from argus_client.ingest import to_arrow_streams
from argus_grpc.ingest import MAX_EVENT_BYTES, arrow
from argus_grpc.v1.event_pb2 import Event, EventType
from argus_grpc.v1.export_pb2 import Encoding, Order, StreamEventsRequest
from argus_grpc.v1.ingest_pb2 import IngestEventsRequest
from argus_grpc.v1.query_pb2 import EventQuery
from tests.conftest import RunningServer
from tests.integration.test_encodings import INGESTIBLE_EVENTS
from tests.strategies import batch_of

pytestmark = pytest.mark.duckdb

INSTANT = pa.timestamp("ns", "UTC")


def stream_of(*batches: pa.RecordBatch, **options: Any) -> bytes:
    sink = pa.BufferOutputStream()
    options_ = pa.ipc.IpcWriteOptions(**options)
    with pa.ipc.new_stream(sink, batches[0].schema, options=options_) as writer:
        for batch in batches:
            writer.write_batch(batch)
    stream: bytes = sink.getvalue().to_pybytes()
    return stream


def three(**columns: pa.Array | None) -> pa.RecordBatch:
    """Three events that fit; columns are added, replaced, or left out with None."""
    given = {
        "timestamp": pa.array([1, 2, 3], INSTANT),
        "event_type": pa.array(["VIRTUAL_THREAD_START"] * 3),
        "source": pa.array(["s"] * 3),
        **columns,
    }
    kept = {name: array for name, array in given.items() if array is not None}
    return pa.RecordBatch.from_arrays(list(kept.values()), names=list(kept))


def ingest(server: RunningServer, stream: bytes) -> range:
    answer = server.ingests.IngestEvents(IngestEventsRequest(arrow=stream))
    return range(answer.first_sequence, answer.last_sequence + 1)


def exported(server: RunningServer, after: int) -> list[pa.RecordBatch]:
    request = StreamEventsRequest(
        query=EventQuery(after_sequence=after),
        columns=["all"],
        order=Order.ORDER_ARRIVAL,
        encoding=Encoding.ENCODING_ARROW,
    )
    messages = server.exports.StreamEvents(request)
    return [b for m in messages if m.HasField("batch") for b in pa.ipc.open_stream(m.batch.arrow)]


def without_sequence(batches: list[pa.RecordBatch]) -> bytes:
    """The rows in one form: equal bytes are equal values, NaN and -0.0 included."""
    return stream_of(*(batch.drop_columns(["sequence"]) for batch in batches))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(events=st.lists(INGESTIBLE_EVENTS, min_size=1, max_size=8))
def test_rows_then_arrow_out_then_arrow_in_are_equal(
    shared_server: RunningServer, events: list[Event]
) -> None:
    after = shared_server.ingest(events)[0] - 1
    first = exported(shared_server, after)
    assert first[0].drop_columns(["sequence"]).num_rows == len(events)

    sequences = ingest(shared_server, without_sequence(first))
    assert len(sequences) == len(events)
    assert without_sequence(exported(shared_server, sequences[0] - 1)) == without_sequence(first)

    sequences = ingest(shared_server, stream_of(batch_of(events)))
    assert without_sequence(exported(shared_server, sequences[0] - 1)) == without_sequence(first)


def test_several_batches_in_one_stream_and_columns_in_any_order(server: RunningServer) -> None:
    batch = three(thread_id=pa.array([1, None, 3]), sequence=pa.nulls(3, pa.int64()))
    turned = batch.select(list(reversed(batch.schema.names)))
    assert ingest(server, stream_of(turned, turned.slice(1), turned.slice(0, 0))) == range(1, 6)
    found = server.sql("SELECT sequence, timestamp, thread_id FROM events ORDER BY sequence")
    assert found == [(1, 1, 1), (2, 2, None), (3, 3, 3), (4, 2, None), (5, 3, 3)]


@pytest.mark.parametrize(
    ("name", "array", "stored"),
    [
        ("timestamp", pa.array([1, 2, -(2**63)], pa.int64()), [1, 2, -(2**63)]),
        ("timestamp", pa.array([1, 2, 3], pa.timestamp("us", "Europe/Berlin")), [1000, 2000, 3000]),
        ("timestamp", pa.array([1, 2, -3], pa.timestamp("s", "UTC")), [10**9, 2 * 10**9, -3 * 10**9]),
        ("event_type", pa.array(["GC_PAUSE", "CPU_LOAD", "GC_PAUSE"]).dictionary_encode(), [10, 20, 10]),
        ("event_type", pa.array([10, 20, 10], pa.int64()), [10, 20, 10]),
        ("event_type", pa.array([10, 20, 10], pa.uint8()), [10, 20, 10]),
        ("thread_name", pa.array(["a", None, ""], pa.large_string()), ["a", None, ""]),
        ("thread_name", pa.array(["a", None, "y" * 13], pa.string_view()), ["a", None, "y" * 13]),
        ("thread_name", pa.array(["x", "a", None, ""], pa.string_view())[1:], ["a", None, ""]),
        ("thread_name", pa.array(["é", None, "é"]).dictionary_encode(), ["é", None, "é"]),
        (
            "thread_name",
            pa.array(["v", None, "v"], pa.dictionary(pa.uint16(), pa.large_string())),
            ["v", None, "v"],
        ),
        ("thread_id", pa.array([1, None, 2**32 - 1], pa.uint32()), [1, None, 2**32 - 1]),
        ("thread_id", pa.array([1, None, 2**63 - 1], pa.uint64()), [1, None, 2**63 - 1]),
        ("line_number", pa.array([1, None, 2**31 - 1], pa.int64()), [1, None, 2**31 - 1]),
        ("cpu_jvm_user", pa.array([0.5, None, 1.0], pa.float32()), [0.5, None, 1.0]),
        ("gc_name", pa.nulls(3), [None] * 3),
    ],
)
def test_types_beside_those_of_an_export(
    server: RunningServer, name: str, array: pa.Array, stored: list[object]
) -> None:
    ingest(server, stream_of(three(**{name: array})))
    assert server.sql(f"SELECT {name} FROM events ORDER BY sequence") == [(value,) for value in stored]


NOT_UTF8 = pa.array([b"ok", b"caf\xe9", b""]).view(pa.string())


@pytest.mark.parametrize(
    ("columns", "field", "said"),
    [
        ({"timestamp": None}, "arrow.timestamp[0]", "unset"),
        ({"timestamp": pa.array([1, None, 3], INSTANT)}, "arrow.timestamp[1]", "unset"),
        ({"timestamp": pa.array([1, 2, 3], pa.timestamp("us"))}, "arrow.timestamp", "with a time zone"),
        (
            {"timestamp": pa.array([1, 2, 9_223_372_037], pa.timestamp("s", "UTC"))},
            "arrow.timestamp[2]",
            "9223372037",
        ),
        (
            {"timestamp": pa.array([1, -9_223_372_037, 1], pa.timestamp("s", "UTC"))},
            "arrow.timestamp[1]",
            "1677 to 2262",
        ),
        ({"timestamp": pa.array([1.0, 2.0, 3.0])}, "arrow.timestamp", "the type double"),
        ({"event_type": None}, "arrow.event_type[0]", "unset"),
        ({"event_type": pa.array(["GC_PAUSE", "gc", "gc"])}, "arrow.event_type[1]", "'gc' is not allowed"),
        ({"event_type": pa.array([1, 2, 5])}, "arrow.event_type[2]", "5 is not allowed"),
        ({"event_type": pa.array([1, 2**32 + 1, 1])}, "arrow.event_type[1]", "GC_PAUSE (10)"),
        ({"source": pa.array(["s", "s", ""])}, "arrow.source[2]", "not empty"),
        ({"source": pa.array([1, 2, 3])}, "arrow.source", "the type int64"),
        ({"thread_id": pa.array([1, 0, 1])}, "arrow.thread_id[1]", "1 or more"),
        ({"thread_id": pa.array([1, 1, 2**63], pa.uint64())}, "arrow.thread_id[2]", "9223372036854775808"),
        ({"thread_id": pa.array([1.0, 1.0, 1.0])}, "arrow.thread_id", "integers"),
        ({"line_number": pa.array([1, None, 2**31])}, "arrow.line_number[2]", "int32"),
        ({"cpu_jvm_user": pa.array(["1", "1", "1"])}, "arrow.cpu_jvm_user", "floating-point"),
        ({"sequence": pa.array([None, 7, None], pa.int64())}, "arrow.sequence[1]", "the server gives it"),
        ({"colour": pa.array(["red"] * 3)}, "arrow.colour", "thread_name"),
        ({"stack_trace": NOT_UTF8}, "arrow.stack_trace[1]", "UTF-8"),
        (
            {"stack_trace": pa.DictionaryArray.from_arrays(pa.array([0, 0, 1]), NOT_UTF8, safe=False)},
            "arrow.stack_trace[2]",
            "UTF-8",
        ),
        (
            {"stack_trace": pa.array(["", "x" * MAX_EVENT_BYTES, ""])},
            "arrow[1]",
            f"at most {MAX_EVENT_BYTES} bytes an event",
        ),
    ],
)
def test_a_refusal_names_column_and_row_and_stores_nothing(
    server: RunningServer, columns: dict[str, pa.Array | None], field: str, said: str
) -> None:
    assert_refused(server, stream_of(three(**columns)), field, said)
    # The row is counted through all batches of the stream.
    if columns.keys() <= {"thread_id", "event_type", "stack_trace"} and field.endswith("]"):
        name, row = field[:-1].rsplit("[", 1)
        fitting = three(**columns).slice(0, int(row))
        if fitting.num_rows:
            assert_refused(server, stream_of(fitting, three(**columns)), f"{name}[{2 * int(row)}]", said)


def assert_refused(server: RunningServer, stream: bytes, field: str, said: str) -> None:
    with pytest.raises(grpc.RpcError) as refusal:
        ingest(server, stream)
    assert refusal.value.code() == grpc.StatusCode.INVALID_ARGUMENT, refusal.value.details()
    bad_request = BadRequest()
    assert rpc_status.from_call(refusal.value).details[1].Unpack(bad_request)
    (violation,) = bad_request.field_violations
    assert violation.field == field
    assert said in violation.description
    assert server.sql("SELECT count(*) FROM events") == [(0,)]


@pytest.mark.parametrize("type_", [INSTANT, pa.null()])
def test_a_batch_in_which_nothing_is_set_is_refused_among_others_too(
    server: RunningServer, type_: pa.DataType
) -> None:
    unset = pa.RecordBatch.from_arrays([pa.nulls(2, type_)], names=["timestamp"])
    assert_refused(server, stream_of(unset), "arrow.timestamp[0]", "unset")
    assert_refused(server, stream_of(unset, unset), "arrow.timestamp[0]", "unset")
    fitting = three()
    columns = {
        name: pa.nulls(2, array.type) for name, array in zip(fitting.schema.names, fitting, strict=True)
    }
    assert_refused(server, stream_of(fitting, three(**columns)), "arrow.timestamp[3]", "unset")


def test_a_column_that_comes_twice_is_refused(server: RunningServer) -> None:
    batch = three()
    twice = pa.RecordBatch.from_arrays(
        [*batch.columns, batch["source"]], names=[*batch.schema.names, "source"]
    )
    assert_refused(server, stream_of(twice), "arrow.source", "at most once")


def test_the_largest_event_fits_and_one_byte_more_does_not(server: RunningServer) -> None:
    start = EventType.EVENT_TYPE_VIRTUAL_THREAD_START
    shorter = MAX_EVENT_BYTES - 1_000
    event = Event(timestamp=1, event_type=start, source="s", stack_trace="x" * shorter)
    longest = shorter + MAX_EVENT_BYTES - event.ByteSize()
    one = three().slice(0, 1)
    fitting = one.append_column("stack_trace", pa.array(["x" * longest]))
    over = one.append_column("stack_trace", pa.array(["x" * (longest + 1)]))
    assert_refused(server, stream_of(over), "arrow[0]", f"{MAX_EVENT_BYTES + 1} bytes")
    assert ingest(server, stream_of(fitting)) == range(1, 2)


@pytest.mark.parametrize(
    "damage",
    [
        lambda _: b"",
        lambda _: b"PAR1, as it happens",
        lambda stream: stream[: len(stream) // 2],
        lambda stream: stream[:8] + b"\xff" * 64 + stream[72:],
        lambda _: stream_of(three().slice(0, 0)),
    ],
)
def test_what_is_no_stream_is_refused(server: RunningServer, damage: Callable[[bytes], bytes]) -> None:
    assert_refused(server, damage(stream_of(three())), "arrow", "is not allowed; allowed: ")


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damage_anywhere_is_stored_or_refused_never_an_internal_error(
    shared_server: RunningServer, data: st.DataObject
) -> None:
    columns = {
        "thread_name": pa.array(
            ["a" * 20, "b", None], data.draw(st.sampled_from([pa.string(), pa.string_view()]))
        ),
        "gc_name": pa.array(["G1New", None, "G1New"]).dictionary_encode(),
        "thread_id": pa.array([1, None, 3]),
    }
    stream = bytearray(stream_of(three(**columns)))
    for _ in range(data.draw(st.integers(1, 4))):
        stream[data.draw(st.integers(0, len(stream) - 1))] = data.draw(st.integers(0, 255))
    try:
        ingest(shared_server, bytes(stream))
    except grpc.RpcError as refusal:
        assert refusal.code() == grpc.StatusCode.INVALID_ARGUMENT, bytes(stream)  # noqa: PT017


@pytest.mark.parametrize("codec", ["lz4", "zstd"])
def test_compressed_buffers_are_refused_by_name(server: RunningServer, codec: str) -> None:
    batch = three(stack_trace=pa.array(["x" * 1000] * 3))
    assert_refused(server, stream_of(batch, compression=codec), "arrow", "buffers without compression")


@pytest.mark.parametrize("layout", ["dictionary", "view"])
def test_text_that_is_said_a_thousand_times_is_bounded(server: RunningServer, layout: str) -> None:
    rows = arrow.MAX_TEXT_BYTES // 1_000_000 + 1
    said = pa.array(["x" * 1_000_000])
    if layout == "dictionary":
        stack_trace = pa.DictionaryArray.from_arrays(pa.array([0] * rows), said)
    else:
        view = said.cast(pa.string_view()).buffers()
        views = pa.py_buffer(view[1].to_pybytes()[:16] * rows)
        stack_trace = pa.Array.from_buffers(pa.string_view(), rows, [None, views, *view[2:]])
    columns = {
        "timestamp": pa.array([1] * rows),
        "event_type": pa.array([1] * rows),
        "source": pa.array(["s"] * rows),
        "stack_trace": stack_trace,
    }
    batch = pa.RecordBatch.from_arrays(list(columns.values()), names=list(columns))
    assert_refused(server, stream_of(batch), "arrow", f"at most {arrow.MAX_TEXT_BYTES} bytes")


def test_the_client_slices_a_table(server: RunningServer) -> None:
    rows = 50_000
    table = pa.table(
        {
            "timestamp": pa.array(range(rows), pa.int64()),
            "event_type": pa.array(["GC_PAUSE", "CPU_LOAD"] * (rows // 2)).dictionary_encode(),
            "source": pa.array(["a source with a long name"] * rows).dictionary_encode(),
            "stack_trace": pa.array(["frame\n" * (i % 40) for i in range(rows)]),
        }
    )
    with ExportClient(server.address) as client:
        result = client.ingest_arrow(table)
    assert (result.events, result.first_sequence, result.last_sequence) == (rows, 1, rows)
    assert result.counts == {
        EventType.EVENT_TYPE_GC_PAUSE: rows // 2,
        EventType.EVENT_TYPE_CPU_LOAD: rows // 2,
    }
    assert result.batches > 5
    stored = "SELECT count(*), count(DISTINCT stack_trace), bool_and(sequence = timestamp + 1) FROM events"
    assert server.sql(stored) == [(rows, 40, True)]


def test_streams_keep_the_bound_and_the_rows() -> None:
    table = pa.table({"source": ["x" * (i * 37 % 5_000) for i in range(3_000)]})
    pairs = list(to_arrow_streams(table, max_bytes=100_000))
    assert all(len(stream) <= 100_000 for _, stream in pairs)
    assert len(pairs) < 2 * table.nbytes / 100_000
    assert pa.Table.from_batches([batch for batch, _ in pairs]) == table
    assert [pa.ipc.open_stream(stream).read_all().to_batches()[0] for _, stream in pairs] == [
        b for b, _ in pairs
    ]


def test_a_refusal_of_a_later_slice_names_the_table_s_row(server: RunningServer) -> None:
    rows, wrong = 60_000, 54_321
    numbers = [1] * rows
    numbers[wrong] = -1
    ones = [1] * rows
    table = pa.table(
        {"timestamp": ones, "event_type": ones, "source": ["s" * 40] * rows, "thread_id": numbers}
    )
    with ExportClient(server.address) as client, pytest.raises(InvalidRequest) as refusal:
        client.ingest_arrow(table)
    assert [violation.field for violation in refusal.value.violations] == [f"arrow.thread_id[{wrong}]"]
    ((stored,),) = server.sql("SELECT count(*) FROM events")
    assert 0 < stored <= wrong


def test_a_row_that_no_message_holds_is_refused_by_the_client(server: RunningServer) -> None:
    table = pa.table({"timestamp": [1, 2], "event_type": [1, 1], "source": ["s", "x" * (5 * 1024 * 1024)]})
    with (
        ExportClient(server.address) as client,
        pytest.raises(InvalidRequest, match=r"arrow\[1\]: 5,24\d,\d+ bytes in one event"),
    ):
        client.ingest_arrow(table)


def test_a_pandas_frame(server: RunningServer) -> None:
    frame = pd.DataFrame(
        {
            "timestamp": pd.to_datetime(["2024-01-01T00:00:00.000000001Z", "2024-01-02T00:00:00.0Z"]),
            "event_type": pd.Categorical(["GC_PAUSE", "CPU_LOAD"]),
            "source": ["a", "b"],
            "duration_ns": pd.array([5, None], "Int64"),
        }
    )
    with ExportClient(server.address) as client:
        client.ingest_arrow(pa.Table.from_pandas(frame, preserve_index=False))
    found = server.sql("SELECT timestamp, event_type, source, duration_ns FROM events ORDER BY sequence")
    assert found == [
        (1_704_067_200_000_000_001, 10, "a", 5),
        (1_704_153_600_000_000_000, 20, "b", None),
    ]
