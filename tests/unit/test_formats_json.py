"""JSON and JSON Lines against Python's json."""

import json
import math
import re
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given, settings
from hypothesis import strategies as st

from argus_client.formats import RenderOptions, make_renderer
from argus_grpc.columns import COLUMNS, COLUMNS_BY_NAME, DEFAULT_COLUMNS, EVENT_TYPE_NAMES, Column
from argus_grpc.v1.event_pb2 import Event, EventType
from argus_grpc.v1.export_pb2 import ExportSummary
from tests.strategies import NASTY_TEXTS, batch_of, events, header_of

INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.(\d{3}|\d{6}|\d{9}))?Z")
EMPTY_JSON = (
    b'{"exportedAt":"1970-01-01T00:00:00Z","query":{"from":null,"to":null,"type":null},'
    b'"totalEvents":0,"events":[]}\n'
)
EVENT_LISTS = st.lists(events(), min_size=1, max_size=5)


def rendered(
    format: str,
    batches: Sequence[pa.RecordBatch],
    columns: Sequence[Column] = COLUMNS,
    options: RenderOptions = RenderOptions(),  # noqa: B008 - immutable
) -> bytes:
    renderer = make_renderer(format, options)
    parts = [
        renderer.begin(header_of(columns)),
        *map(renderer.render, batches),
        renderer.end(ExportSummary()),
    ]
    return b"".join(map(bytes, parts))


def no_constants(name: str) -> float:
    raise AssertionError(f"{name} is not JSON (RFC 8259, section 6)")


def no_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


def parsed(text: str | bytes) -> Any:
    return json.loads(text, parse_constant=no_constants, object_pairs_hook=no_repeats)


def assert_equal(read: dict[str, Any], written: Event) -> None:
    expected_keys = [c.json_name for c in COLUMNS if written.HasField(c.name)]  # type: ignore[arg-type]
    assert list(read) == expected_keys
    for column in COLUMNS:
        if column.json_name not in read:
            continue
        value, original = read[column.json_name], getattr(written, column.name)
        if column.name == "timestamp":
            assert INSTANT.fullmatch(value)
            instant = Timestamp()
            instant.FromJsonString(value)
            assert instant.ToNanoseconds() == original
        elif column.name == "event_type":
            assert value == EVENT_TYPE_NAMES[original]
        elif isinstance(original, float) and not math.isfinite(original):
            assert value is None
        else:
            assert value == original
            if isinstance(original, float):
                assert math.copysign(1, value) == math.copysign(1, original)


@given(EVENT_LISTS)
@settings(max_examples=60, deadline=None)
def test_json_lines_read_back(written: list[Event]) -> None:
    data = rendered("jsonl", [batch_of(written)])
    assert data.endswith(b"\n")
    lines = data[:-1].split(b"\n")
    assert len(lines) == len(written)
    for line, event in zip(lines, written, strict=True):
        assert_equal(parsed(line), event)


@given(EVENT_LISTS, st.integers(0, 5))
@settings(max_examples=60, deadline=None)
def test_json_reads_back_however_it_was_cut(written: list[Event], cut: int) -> None:
    batch = batch_of(written)
    whole = rendered("json", [batch])
    document = parsed(whole)
    assert list(document) == ["exportedAt", "query", "totalEvents", "events"]
    assert len(document["events"]) == len(written)
    for read, event in zip(document["events"], written, strict=True):
        assert_equal(read, event)
    cut = min(cut, len(written))
    assert rendered("json", [batch.slice(0, cut), batch.slice(cut)]) == whole
    assert rendered("jsonl", [batch.slice(0, cut), batch.slice(cut)]) == rendered("jsonl", [batch])


def test_the_example_to_the_letter(example_events: list[Event]) -> None:
    batch = batch_of(example_events, DEFAULT_COLUMNS)
    lines = (
        '{"timestamp":"2024-01-01T00:00:00.123Z","eventType":"VIRTUAL_THREAD_START","threadId":123,'
        '"threadName":"VT-1","carrierThread":1}',
        '{"timestamp":"2024-01-01T00:00:00.456Z","eventType":"VIRTUAL_THREAD_END","threadId":123,'
        '"threadName":"VT-1","carrierThread":1,"durationNs":333000000}',
    )
    assert rendered("jsonl", [batch], DEFAULT_COLUMNS).decode() == f"{lines[0]}\n{lines[1]}\n"
    opening = EMPTY_JSON.decode().removesuffix("]}\n")
    assert rendered("json", [batch], DEFAULT_COLUMNS).decode() == f"{opening}\n{lines[0]},\n{lines[1]}\n]}}\n"


def test_no_rows() -> None:
    assert rendered("json", []) == EMPTY_JSON
    assert rendered("json", [batch_of([])]) == EMPTY_JSON
    assert rendered("jsonl", [batch_of([])]) == b""


def test_objects_without_members() -> None:
    columns = (COLUMNS_BY_NAME["thread_id"], COLUMNS_BY_NAME["thread_name"])
    some = batch_of([Event(), Event(thread_name="a"), Event(thread_id=1)], columns)
    assert rendered("jsonl", [some], columns) == b'{}\n{"threadName":"a"}\n{"threadId":1}\n'
    none = batch_of([Event(), Event()], columns)
    assert rendered("jsonl", [none], columns) == b"{}\n{}\n"


def test_commas_around_the_column_that_all_rows_have() -> None:
    columns = tuple(COLUMNS_BY_NAME[n] for n in ("thread_id", "event_type", "sequence", "duration_ns"))
    batch = batch_of(
        [
            Event(sequence=1),
            Event(sequence=2, thread_id=7, event_type=EventType.EVENT_TYPE_GC_PAUSE, duration_ns=3),
        ],
        columns,
    )
    assert rendered("jsonl", [batch], columns).decode() == (
        '{"sequence":1}\n{"threadId":7,"eventType":"GC_PAUSE","sequence":2,"durationNs":3}\n'
    )


def test_every_nasty_text_in_one_batch() -> None:
    columns = (COLUMNS_BY_NAME["thread_name"],)
    batch = batch_of([Event(thread_name=text) for text in NASTY_TEXTS], columns)
    lines = rendered("jsonl", [batch], columns).decode().split("\n")[:-1]
    assert [parsed(line) for line in lines] == [{"threadName": text} for text in NASTY_TEXTS]


def test_dictionaries_of_any_text() -> None:
    columns = (COLUMNS_BY_NAME["thread_name"],)
    plain = pa.array(["a", 'q"\n', None, "a", ""])
    with_null_inside = pa.DictionaryArray.from_arrays(
        pa.array([0, 1, 2, 0, 3], pa.int8()), pa.array(["a", 'q"\n', None, ""])
    )
    for array in (plain, plain.dictionary_encode(), with_null_inside, plain.cast(pa.large_string())):
        lines = rendered("jsonl", [pa.record_batch([array], names=["thread_name"])], columns).splitlines()
        assert [parsed(line).get("threadName") for line in lines] == plain.to_pylist()


@pytest.mark.parametrize("format", ["csv", "jsonl"])
@pytest.mark.parametrize("others", [0, 20])
def test_what_is_stored_for_null_does_not_show(format: str, others: int) -> None:
    # Arrow's format leaves open what it is.
    columns = (COLUMNS_BY_NAME["thread_id"], COLUMNS_BY_NAME["thread_name"])
    valid = pa.array([True, False, *[True] * others])
    numbers, names = pa.array([1, 2**62, *range(others)]), pa.array(["a", "b,c", *["d"] * others])
    mask = valid.buffers()[1]
    stored = [
        pa.Array.from_buffers(array.type, len(array), [mask, *array.buffers()[1:]])
        for array in (numbers, names)
    ]
    clean = [pc.if_else(valid, array, None) for array in (numbers, names)]
    batches = [pa.record_batch(arrays, names=[c.name for c in columns]) for arrays in (stored, clean)]
    assert batches[0].equals(batches[1])
    assert rendered(format, [batches[0]], columns) == rendered(format, [batches[1]], columns)


@pytest.mark.parametrize("format", ["json", "jsonl"])
def test_text_that_is_not_utf_8_is_refused(format: str) -> None:
    broken = pa.StringArray.from_buffers(1, pa.array(["ab"]).buffers()[1], pa.py_buffer(b"\xffb"))
    batch = pa.record_batch([broken], names=["thread_name"])
    with pytest.raises(ValueError, match="threadName: the text is not UTF-8"):
        rendered(format, [batch], (COLUMNS_BY_NAME["thread_name"],))


@pytest.mark.parametrize("format", ["json", "jsonl"])
def test_a_resumed_file_goes_on_byte_for_byte(format: str, example_events: list[Event]) -> None:
    batch = batch_of(example_events)
    first = make_renderer(format)
    kept = [first.begin(header_of()), first.render(batch.slice(0, 1))]
    second = make_renderer(format)
    resumed = header_of()
    resumed.first_row = 1
    second.begin(resumed)
    kept += [second.render(batch.slice(1)), second.end(ExportSummary())]
    assert b"".join(map(bytes, kept)) == rendered(format, [batch])


def test_a_resumed_file_that_has_all_rows_is_closed() -> None:
    renderer = make_renderer("json")
    header = header_of()
    header.first_row = 2
    renderer.begin(header)
    assert renderer.end(ExportSummary()) == b"\n]}\n"


def test_time_precision(example_events: list[Event]) -> None:
    options = RenderOptions(time_precision="us")
    columns = (COLUMNS_BY_NAME["timestamp"],)
    data = rendered("jsonl", [batch_of(example_events[:1], columns)], columns, options)
    assert data == b'{"timestamp":"2024-01-01T00:00:00.123000Z"}\n'
