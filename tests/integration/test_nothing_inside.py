"""No answer tells of the server's files, SQL or code, whatever goes wrong in it."""

import json
import logging
import re
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, cast
from unittest.mock import Mock, patch

import duckdb
import grpc
import pytest
import structlog

from argus_grpc.store import DuckDbStore
from argus_grpc.v1.event_pb2 import Event, Events, EventType
from argus_grpc.v1.export_pb2 import PlanExportRequest, StreamAggregatesRequest, StreamEventsRequest
from argus_grpc.v1.ingest_pb2 import IngestEventsRequest
from argus_grpc.v1.query_pb2 import EventQuery, ThreadNameMatch
from tests.conftest import RunningServer
from tests.dashboard import curl, dashboard_process

pytestmark = pytest.mark.duckdb

INSIDE = re.compile(
    r"Traceback|File \"|site-packages|\.py\b|SELECT|FROM events|argus_(?:batches|removed)|duckdb|"
    r"(?:Binder|Catalog|Parser|Conversion|IO|Fatal) Error|0x[0-9a-f]{8}"
)
SECRET = (
    'Catalog Error: Table "events" does not exist! SELECT x FROM events; '
    '/srv/secret/events.duckdb, File "/srv/argus.py"'
)
REQUESTS: dict[str, Any] = {
    "PlanExport": PlanExportRequest(),
    "StreamEvents": StreamEventsRequest(),
    "StreamAggregates": StreamAggregatesRequest(),
    "IngestEvents": IngestEventsRequest(
        rows=Events(events=[Event(timestamp=1, event_type=EventType.EVENT_TYPE_CPU_LOAD, source="s")])
    ),
}


@pytest.fixture(autouse=True)
def _without_log() -> Iterator[None]:
    before = structlog.get_config()["wrapper_class"]
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.configure(wrapper_class=before)


def told(server: RunningServer, method: str, request: Any) -> grpc.Call | None:
    """How the call failed; None if it did not."""
    stub = server.ingests if method == "IngestEvents" else server.exports
    try:
        answer = getattr(stub, method)(request, timeout=60)
        if method.startswith("Stream"):
            list(answer)
    except grpc.RpcError as error:
        return cast(grpc.Call, error)
    return None


def everything(call: grpc.Call) -> str:
    """All that came with an error: its message, its details and what else is in the trailer."""
    pairs = call.trailing_metadata() or ()
    trailers = [value if isinstance(value, str) else value.decode(errors="replace") for _, value in pairs]
    return "\n".join((call.details() or "", *trailers))


@pytest.mark.parametrize(
    "error", [duckdb.CatalogException(SECRET), OSError(28, SECRET, "/srv/x"), ValueError(SECRET)]
)
def test_what_fails_inside_stays_inside(server: RunningServer, error: Exception) -> None:
    server.ingest([Event(timestamp=1, event_type=EventType.EVENT_TYPE_CPU_LOAD, source="s")])
    with ExitStack() as failing:
        for name in ("select", "group", "compile", "begin_append"):
            failing.enter_context(patch.object(DuckDbStore, name, side_effect=error))
        for method, request in REQUESTS.items():
            call = told(server, method, request)
            assert call is not None
            assert call.code() == grpc.StatusCode.INTERNAL, method
            assert not INSIDE.search(everything(call)), everything(call)
            assert "/srv" not in everything(call)


# IngestEvents answers nothing until it can be read whether its events were stored.
@pytest.mark.parametrize("method", ["PlanExport", "StreamEvents", "StreamAggregates"])
def test_a_table_that_is_gone(server: RunningServer, method: str) -> None:
    server.ingest([Event(timestamp=1, event_type=EventType.EVENT_TYPE_CPU_LOAD, source="s")])
    with server.server._store._database.cursor() as cursor:
        cursor.execute("ALTER TABLE events RENAME TO others")
    call = told(server, method, REQUESTS[method])
    assert call is not None
    assert not INSIDE.search(everything(call)), everything(call)
    assert str(server.store_path.parent) not in everything(call)


@pytest.mark.parametrize(
    ("method", "request_"),
    [
        ("PlanExport", PlanExportRequest(query=EventQuery(thread_name=ThreadNameMatch(regex="(")))),
        ("PlanExport", PlanExportRequest(query=EventQuery(sources=["a\0"]), columns=["x"])),
        ("StreamEvents", StreamEventsRequest(resume_token="A" * 400)),
        ("StreamEvents", StreamEventsRequest(columns=["no"] * 3, max_batch_bytes=1)),
        ("StreamAggregates", StreamAggregatesRequest(limit=-1)),
        ("IngestEvents", IngestEventsRequest(arrow=b"no")),
        ("IngestEvents", IngestEventsRequest(rows=Events(events=[Event(timestamp=1)]))),
    ],
)
def test_refusals(shared_server: RunningServer, method: str, request_: Any) -> None:
    call = told(shared_server, method, request_)
    assert call is not None
    assert call.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert not INSIDE.search(everything(call)), everything(call)


def test_over_http(server: RunningServer, tmp_path: Path) -> None:
    server.ingest([Event(timestamp=1, event_type=EventType.EVENT_TYPE_CPU_LOAD, source="s")])
    good = (
        "/api/plan",
        "/api/events",
        "/api/aggregate?by=source",
        "/export?format=csv",
        "/export?format=parquet",
    )
    bad = (
        "/api/nothing",
        "/static/../app.py",
        "/static/%2e%2e/app.py",
        "/api/plan?thread_name_regex=(",
        "/api/plan?a=b",
    )
    with dashboard_process(tmp_path, server.address) as dashboard:
        assert _check_refusals(dashboard.url, good + bad, tmp_path) == {*bad}
        failing = Mock(side_effect=ValueError(SECRET))
        with patch.multiple(DuckDbStore, compile=failing, group=failing):
            assert _check_refusals(dashboard.url, good + bad, tmp_path) == {*good, *bad}


def _check_refusals(url: str, paths: Iterable[str], folder: Path) -> set[str]:
    """Looks at each answer that is none; which paths have those."""
    refused = set()
    for path in paths:
        answer = curl(f"{url}{path}", "--path-as-is")
        if answer.status >= 400:
            refused.add(path)
            body = answer.body.decode()
            assert json.loads(body)["status"] == answer.status
            assert not INSIDE.search(body.replace("app.py", "")), body
            assert str(folder) not in body
    return refused
