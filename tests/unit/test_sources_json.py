"""Our own JSON exports read back, written by the renderer and by Python's json."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from argus_client.errors import SourceError
from argus_client.formats import make_renderer
from argus_client.sources import UnknownKind, open_source
from argus_grpc.columns import COLUMNS
from argus_grpc.v1.event_pb2 import Event
from argus_grpc.v1.export_pb2 import ExportSummary
from tests.strategies import INT64_MIN, batch_of, events, header_of

LEAST = {"timestamp": 5, "eventType": "START"}

Write = Callable[[Any], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a document: text as it is, a list as its events."""

    def write_document(document: Any) -> Path:
        path = tmp_path / "events.json"
        if isinstance(document, list):
            document = json.dumps({"exportedAt": "2024-01-01T00:00:00Z", "events": document})
        path.write_text(document, encoding="utf-8")
        return path

    return write_document


def read(path: Path, source: str | None = None) -> list[Event]:
    with open_source(path, source) as opened:
        return list(opened)


def without_what_json_has_not(event: Event) -> str:
    """As text, which tells -0.0, too; NaN and infinities are null in JSON."""
    kept = Event()
    kept.CopyFrom(event)
    kept.ClearField("sequence")
    for field, value in event.ListFields():
        if isinstance(value, float) and not math.isfinite(value):
            kept.ClearField(field.name)  # type: ignore[arg-type]
    return str(kept)


@settings(max_examples=100, deadline=None)
@given(
    written=st.lists(
        events(required=["sequence", "timestamp", "event_type", "source"]), min_size=1, max_size=5
    ),
    indent=st.sampled_from((None, 2)),
)
def test_any_event_comes_back_equal(
    written: list[Event], indent: int | None, tmp_path_factory: pytest.TempPathFactory
) -> None:
    for event in written:
        event.source = event.source or "s"
        for field, value in event.ListFields():
            if field.name != "timestamp" and value == INT64_MIN:
                # Of no column that the store takes, and more than ijson reads.
                setattr(event, field.name, 0)
    renderer = make_renderer("json")
    parts = [renderer.begin(header_of(COLUMNS, len(written))), renderer.render(batch_of(written))]
    content = b"".join(map(bytes, [*parts, renderer.end(ExportSummary())]))
    if indent:
        # As jq prints it.
        content = json.dumps(json.loads(content), indent=indent).encode()
    path = tmp_path_factory.mktemp("json") / "any.json"
    path.write_bytes(content)
    assert [str(e) for e in read(path)] == [without_what_json_has_not(e) for e in written]


def test_no_events_and_other_orders_of_keys(write: Write) -> None:
    assert read(write([])) == []
    sorted_keys = write('{"events": [{"eventType": "END", "timestamp": 7}], "exportedAt": null, "query": {}}')
    assert [event.timestamp for event in read(sorted_keys)] == [7]


def test_whose_events_they_are(write: Write) -> None:
    path = write([{**LEAST, "source": "a"}, LEAST])
    assert [event.source for event in read(path)] == ["a", "events"]
    assert [event.source for event in read(path, "b")] == ["b", "b"]


@pytest.mark.parametrize(
    ("item", "told"),
    [
        (7, "is not a JSON object but 7"),
        ({"eventType": "START"}, "has no timestamp, which every event needs"),
        (
            {**LEAST, "thread_id": 1},
            'has the key "thread_id", which no event has; keys: sequence, ',
        ),
        ({**LEAST, "threadId": "7"}, 'threadId: "7" is not allowed; allowed: a whole number from -9'),
        ({**LEAST, "threadId": 7.0}, "threadId: 7.0 is not allowed"),
        ({**LEAST, "threadName": {"a": 1}}, "threadName: .* is not allowed; allowed: text"),
        ({**LEAST, "threadName": [1]}, r"threadName: \[1\] is not allowed"),
        ({**LEAST, "source": ""}, 'source: "" is not allowed'),
    ],
)
def test_refusals_name_file_event_key_and_value(item: Any, told: str, write: Write) -> None:
    with pytest.raises(SourceError, match=rf"events\.json, event 2: {told}"):
        read(write([LEAST, item, LEAST]))


def test_a_key_that_comes_twice(write: Write) -> None:
    path = write('{"events": [{"timestamp": 5, "timestamp": 6, "eventType": "START"}]}')
    with pytest.raises(SourceError, match='event 1: has the key "timestamp" twice'):
        read(path)


def test_a_document_that_is_cut_off(write: Write) -> None:
    whole = json.dumps({"exportedAt": None, "events": [LEAST, LEAST]})
    for length in range(whole.index("[") + 1, len(whole)):
        with pytest.raises(
            SourceError, match=r"events\.json is cut off or no JSON, after event [012]: .*EOF"
        ):
            read(write(whole[:length]))


def test_a_document_that_is_not_json(write: Write) -> None:
    with pytest.raises(SourceError, match=r"events\.json is cut off or no JSON, after event 1: .+"):
        read(write('{"events": [{"timestamp": 5, "eventType": "START"}, nonsense]}'))
    with pytest.raises(SourceError, match=r"events\.json is cut off or no JSON, after event 1: .+"):
        read(write('{"events": [{"timestamp": 5, "eventType": "START"}]} {}'))


def test_a_document_that_is_not_utf_8(tmp_path: Path) -> None:
    path = tmp_path / "events.json"
    path.write_bytes(b'{"events": [{"timestamp": 5, "eventType": "START"}, {"threadName": "secret \xff"}]}')
    with pytest.raises(SourceError) as refused:
        read(path)
    told = "lexical error: invalid bytes in UTF8 string."
    assert str(refused.value).endswith(f"events.json is cut off or no JSON, after event 1: {told}")


def test_another_document_is_of_no_known_kind(write: Write) -> None:
    with pytest.raises(UnknownKind, match="is not a Flight Recorder recording"):
        open_source(write('{"query": {"a": 1}}'))
