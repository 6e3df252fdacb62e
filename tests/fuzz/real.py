"""Real inputs for the doors to begin with: what our own programs, an Argus server and the JDK say."""

import gzip
import io
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from argus_client.formats import FORMATS, RenderOptions, make_renderer
from argus_grpc.columns import COLUMNS
from argus_grpc.encode import to_arrow_stream
from argus_grpc.v1.aggregate_pb2 import AggregateBatch, Aggregation, GroupBy, Measure
from argus_grpc.v1.event_pb2 import Event, EventType
from argus_grpc.v1.export_pb2 import (
    Column,
    ColumnType,
    ExportHeader,
    ExportSummary,
    StreamAggregatesResponse,
)
from tests import scripted
from tests.strategies import batch_of, header_of

_TEXTS = ("", "\0", "é", "\U0001f600", "\x1b[31m", "<img src=x onerror=alert(1)>", "=cmd()", "x" * 300)
TEXTS: tuple[bytes, ...] = (*(text.encode() for text in _TEXTS), b"\xff", b"\xed\xa0\x80", b"\xc0\x80")

REAL_EVENTS: Sequence[Event] = (
    Event(
        timestamp=1_704_067_200_123_000_000,
        event_type=EventType.EVENT_TYPE_VIRTUAL_THREAD_START,
        source="a",
        thread_id=1,
    ),
    Event(
        timestamp=1_704_067_200_456_000_001,
        event_type=EventType.EVENT_TYPE_VIRTUAL_THREAD_PINNED,
        source="orders@host-7",
        thread_id=2**40,
        thread_name="pool-1",
        carrier_thread=7,
        duration_ns=333,
        stack_trace="a.B.c:1\nd.E.f",
        pinned_reason="MONITOR",
    ),
    Event(
        timestamp=-1,
        event_type=EventType.EVENT_TYPE_CPU_LOAD,
        source="a",
        cpu_jvm_user=0.25,
        cpu_machine_total=1.0,
    ),
    Event(
        timestamp=5,
        event_type=EventType.EVENT_TYPE_EXECUTION_SAMPLE,
        source="é",
        class_name="A",
        method_name="m",
        line_number=3,
    ),
)

ARGUS_MESSAGES: Sequence[dict[str, Any]] = (
    {"type": "START", "threadId": 12, "threadName": "", "timestamp": "2024-01-01T00:00:00.000000001Z"},
    {"type": "END", "threadId": 12, "timestamp": "2024-01-01T00:00:01+02:00", "duration": 5_000_000},
    {
        "type": "PINNED",
        "threadId": 12,
        "carrierThread": 3,
        "timestamp": "2024-01-01T00:00:01Z",
        "duration": 7,
        "stackTrace": "a.B.c(D.java:1)\n",
    },
    {"type": "SUBMIT_FAILED", "threadId": 12, "threadName": "x", "timestamp": "2024-01-01T00:00:01Z"},
    {
        "type": "GC_EVENT",
        "eventType": "GC_PAUSE",
        "timestamp": "2024-01-01T00:00Z",
        "duration": 12,
        "gcName": "G1New",
        "gcCause": "x",
    },
    {
        "type": "GC_EVENT",
        "timestamp": "2024-01-01T00:00Z",
        "heapUsedBefore": 3,
        "heapUsedAfter": 2,
        "heapCommitted": 9,
    },
    {
        "type": "CPU_EVENT",
        "timestamp": "2024-01-01T00:00Z",
        "jvmUser": 0.5,
        "jvmSystem": 0,
        "machineTotal": 1,
    },
    {"type": "THREAD_STATE_UPDATE", "counts": {"running": 0}, "threads": []},
)


def arrow_streams() -> Iterator[bytes]:
    """Events as Arrow IPC streams, in each way that ingest takes them, and in some that it does not."""
    instants = pa.array([1, 2, None], pa.timestamp("ns", "UTC"))
    types = pa.array(["VIRTUAL_THREAD_START"] * 3)
    for source in (
        pa.array(["s", "", "é" * 20]),
        pa.array(["s", "t", None], pa.large_string()),
        pa.array(["s", "a text of more than twelve bytes", None], pa.string_view()),
        pa.array(["s", "s", "t"]).dictionary_encode(),
        pa.DictionaryArray.from_arrays(
            pa.array([0, 1, 1], pa.uint16()), pa.array(["s", "t"], pa.string_view())
        ),
        pa.array([["s"], [], None]),
        pa.array([{"a": 1}] * 3),
        pa.array([b"a"] * 3),
    ):
        yield stream_of(
            _batch(timestamp=instants.slice(0, 2), event_type=types.slice(0, 2), source=source.slice(0, 2))
        )
        yield stream_of(_batch(timestamp=instants, event_type=types, source=source), compression="zstd")
    numbers = pa.array([1, 2, 3])
    yield stream_of(
        _batch(
            timestamp=pa.array([1, 2, 3], pa.timestamp("s", "+02:00")),
            event_type=pa.array([1, 2, 41], pa.uint8()),
            source=pa.array(["s"] * 3).dictionary_encode(),
            thread_id=numbers.cast(pa.uint64()),
            duration_ns=numbers.cast(pa.int8()),
            cpu_jvm_user=pa.array([0.5, None, 1], pa.float16()),
            thread_name=pa.nulls(3),
            line_number=pa.RunEndEncodedArray.from_arrays(pa.array([3], pa.int32()), pa.array([1])),
        )
    )
    yield stream_of(batch_of(REAL_EVENTS, [column for column in COLUMNS if column.name != "sequence"]))
    plain = _batch(timestamp=numbers, event_type=types, source=pa.array(["s"] * 3))
    yield stream_of(plain, plain.slice(1))
    yield stream_of(plain.slice(0, 0))


def _batch(**columns: pa.Array) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays(list(columns.values()), names=list(columns))


def stream_of(*batches: pa.RecordBatch, **options: Any) -> bytes:
    """The batches as an Arrow IPC stream; options as of pyarrow's IpcWriteOptions."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batches[0].schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        for batch in batches:
            writer.write_batch(batch)
    return bytes(sink.getvalue().to_pybytes())


def export_files() -> Iterator[tuple[str, bytes]]:
    """Our own exports of the events above in every format, by their names' endings."""
    columns = [column for column in COLUMNS if column.name not in ("heap_used_before_bytes",)]
    for format in FORMATS:
        content = _rendered(format, RenderOptions(), columns)
        yield f".{format}", content
        if format == "jsonl":
            yield ".jsonl.gz", gzip.compress(content)
            yield "", content
            yield ".jsonl", b'{"_metadata":{"exportId":"x"}}\n' + content
        if format == "csv":
            yield ".csv.zst", pa.compress(content, "zstd", asbytes=True)
            yield ".csv", _rendered(format, RenderOptions(excel=True, header="titles"), columns)
            yield ".csv", b'timestamp,event_type,stack_trace\n1,START,"a\nb""c"\n'
    compressed = stream_of(batch_of(REAL_EVENTS), compression="zstd")
    yield ".arrow", compressed
    sink = io.BytesIO()
    with pa.ipc.new_file(
        sink, batch_of(REAL_EVENTS).schema, options=pa.ipc.IpcWriteOptions(compression="lz4")
    ) as writer:
        writer.write_batch(batch_of(REAL_EVENTS))
    yield ".arrow", sink.getvalue()


def _rendered(format: str, options: RenderOptions, columns: Sequence[Any]) -> bytes:
    renderer = make_renderer(format, options)
    batch = batch_of(REAL_EVENTS, columns)
    summary = ExportSummary(total_rows=batch.num_rows, completeness=ExportSummary.COMPLETENESS_COMPLETE)
    pieces = (
        renderer.begin(header_of(columns, batch.num_rows)),
        renderer.render(batch),
        renderer.end(summary),
    )
    return b"".join(bytes(piece) for piece in pieces)


def server_messages() -> Iterator[tuple[int, list[bytes]]]:
    """Streams as a right server sends them: 1 for groups, 0 for events; and the messages."""
    batch = batch_of(REAL_EVENTS)
    header = scripted.header(batch.num_rows)
    header.header.CopyFrom(header_of(COLUMNS, batch.num_rows))
    message = scripted.batch(0, 1)
    _fill(message.batch, batch)
    events = [header, message, scripted.progress(batch.num_rows), scripted.summary(batch.num_rows)]
    header.header.watermark = scripted.WATERMARK
    yield 0, [one.SerializeToString() for one in events]

    groups = pa.record_batch({"thread_name": pa.array(["a", None]), "count": pa.array([3, 4])})
    columns = [
        Column(name="thread_name", json_name="threadName", type=ColumnType.COLUMN_TYPE_STRING),
        Column(name="count", json_name="count", type=ColumnType.COLUMN_TYPE_INT64),
    ]
    aggregation = Aggregation(group_by=[GroupBy(column="thread_name")], measures=[Measure()], total_groups=2)
    grouped = StreamAggregatesResponse(batch=AggregateBatch())
    _fill(grouped.batch, groups)
    summary = scripted.summary(2).summary
    told = [
        StreamAggregatesResponse(
            header=ExportHeader(
                columns=columns, watermark=scripted.WATERMARK, aggregation=aggregation, resume_token="t"
            )
        ),
        grouped,
        StreamAggregatesResponse(summary=summary),
    ]
    yield 1, [one.SerializeToString() for one in told]


def _fill(message: Any, batch: pa.RecordBatch) -> None:
    import google_crc32c

    message.arrow = bytes(to_arrow_stream(batch))
    message.crc32c = google_crc32c.value(message.arrow)
    message.row_count = batch.num_rows
    message.first_row = 0


def _jfr(type_: str, **values: Any) -> dict[str, Any]:
    return {"type": type_, "values": {"startTime": "2024-01-31T08:30:00.123456789Z", **values}}


_FRAMES = [
    {"method": {"type": {"name": "java/lang/Object", "hidden": False}, "name": "wait0"}, "lineNumber": -1}
]
_THREAD = {"osName": "t", "javaName": "ForkJoinPool-1", "javaThreadId": 22, "virtual": True}

JFR_EVENTS: Sequence[dict[str, Any]] = (
    _jfr("jdk.VirtualThreadStart", eventThread=_THREAD, javaThreadId=22),
    _jfr("jdk.VirtualThreadEnd", eventThread=_THREAD, javaThreadId=22),
    _jfr(
        "jdk.VirtualThreadPinned",
        duration="PT0.02S",
        eventThread=_THREAD,
        stackTrace={"truncated": True, "frames": _FRAMES},
    ),
    _jfr("jdk.VirtualThreadSubmitFailed", javaThreadId=23, exceptionMessage="x", eventThread=_THREAD),
    _jfr("jdk.GarbageCollection", duration="PT1H2M3.4S", name="G1New", cause="Allocation"),
    _jfr("jdk.GCHeapSummary", when="Before GC", heapUsed=3, heapSpace={"committedSize": 9}),
    _jfr("jdk.CPULoad", jvmUser=0.5, jvmSystem=0, machineTotal=1.0),
    _jfr("jdk.ObjectAllocationSample", objectClass={"name": "[B"}, weight=9, eventThread=_THREAD),
    _jfr("jdk.MetaspaceSummary", metaspace={"used": 1, "committed": 2, "reserved": 3}),
    _jfr("jdk.ExecutionSample", sampledThread=_THREAD, stackTrace={"truncated": False, "frames": _FRAMES}),
    _jfr(
        "jdk.JavaMonitorEnter",
        duration="PT0.5S",
        monitorClass={"name": "A"},
        eventThread=_THREAD,
        stackTrace=None,
    ),
)
