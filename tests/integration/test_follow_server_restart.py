"""A follower sees what another client writes, each event once and in order, though the server is killed
or stopped in the middle, and started again."""

import signal
import threading
from contextlib import ExitStack
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from argus_client import ArgusClientError, Backoff, EventQuery, ExportClient, ServerUnavailable
from tests.processes import server_process

pytestmark = pytest.mark.duckdb

EVENTS = 100_000
BATCH_EVENTS = 1_000
OLD_EVENTS = 10_000
COLUMNS = ["sequence", "timestamp", "thread_id"]


def random_events(rows: int, dice: np.random.Generator) -> pa.RecordBatch:
    """Events of any time, so that order of time is not that of arrival."""
    return pa.record_batch(
        {
            "timestamp": pa.array(dice.integers(0, 10**9, rows), pa.timestamp("ns", tz="UTC")),
            "event_type": pa.array(dice.integers(1, 5, rows), pa.int32()),
            "source": pa.array([f"writer-{i % 3}" for i in range(rows)]),
            "thread_id": pa.array(dice.integers(1, 100, rows)),
        }
    )


THE_LAST = pa.record_batch(
    {
        "timestamp": pa.array([0], pa.timestamp("ns", tz="UTC")),
        "event_type": ["VIRTUAL_THREAD_PINNED"],
        "source": ["writer-1"],
        "thread_id": [999_999],
    }
)
"""The last event to be written."""


class Writer:
    """Ingests in a thread of its own, over the time that no server is there."""

    def __init__(self, address: str) -> None:
        self._address = address
        self.has_server_again = threading.Event()
        self._thread = threading.Thread(target=self._write)

    def __enter__(self) -> "Writer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.has_server_again.set()
        self._thread.join()

    def _write(self) -> None:
        dice = np.random.default_rng(7)
        with ExportClient(self._address) as client:
            for number in range(EVENTS // BATCH_EVENTS):
                if number == EVENTS // BATCH_EVENTS // 2:
                    # Half of them at least come after the kill.
                    assert self.has_server_again.wait(60)
                self._store(client, random_events(BATCH_EVENTS, dice))
            self._store(client, THE_LAST)

    def _store(self, client: ExportClient, events: pa.RecordBatch) -> None:
        while True:
            try:
                client.ingest_arrow(events)
            except ServerUnavailable:
                # Whether it was stored is not known. If so, it is there twice, as other events.
                assert self.has_server_again.wait(60)
            else:
                return


@pytest.mark.parametrize(
    ("query", "number", "said"),
    [
        (EventQuery(), signal.SIGKILL, "went away, after "),
        (
            EventQuery(types=["PINNED"], sources=["writer-1"]),
            signal.SIGTERM,
            "the server is stopping; resume",
        ),
    ],
)
def test_100_000_events_of_another_client_come_once_and_in_order(
    tmp_path: Path, query: EventQuery, number: signal.Signals, said: str
) -> None:
    database = tmp_path / "events.duckdb"
    told: list[ArgusClientError] = []
    seen: list[pa.RecordBatch] = []
    with ExitStack() as stack:
        server = stack.enter_context(server_process(database))
        client = stack.enter_context(ExportClient(server.address, backoff=Backoff(max_s=0.2)))
        client.ingest_arrow(random_events(OLD_EVENTS, np.random.default_rng(1)))

        def start_again(_attempt: int, _wait_s: float, error: ArgusClientError) -> None:
            if not told:
                stack.enter_context(server_process(database, "--listen", server.address))
                writer.has_server_again.set()
            told.append(error)

        export = client.export(query, columns=COLUMNS, follow=True, on_retry=start_again)
        first_live_row = export.header.total_events
        writer = stack.enter_context(Writer(server.address))
        for events in export:
            seen.append(events)
            rows = sum(batch.num_rows for batch in seen)
            if rows > 2 * first_live_row and server.process.poll() is None:
                server.stop(number)
            if events["thread_id"][-1] == THE_LAST["thread_id"][0]:
                export.end_following()

    assert said in str(told[0])
    with duckdb.connect(database, read_only=True) as connection:
        stored = connection.execute("SELECT count(*), max(sequence) FROM events").fetchone()
        assert stored is not None
        assert stored[0] == stored[1] >= OLD_EVENTS + EVENTS + 1
        matching = "WHERE event_type = 3 AND source = 'writer-1'" if query.types else ""
        expected = connection.execute(
            f"SELECT {', '.join(COLUMNS)} FROM events {matching} ORDER BY "
            "CASE WHEN sequence <= $snapshot THEN timestamp ELSE 9e18::BIGINT END, sequence",
            {"snapshot": export.header.watermark},
        ).fetchall()
    came = pa.Table.from_batches(seen)
    came = came.set_column(1, "timestamp", came["timestamp"].cast(pa.int64()))
    assert list(zip(*(column.to_pylist() for column in came.columns), strict=True)) == expected
    assert export.header.watermark == OLD_EVENTS
    assert (export.summary.total_rows, export.summary.watermark) == (len(expected), stored[1])
