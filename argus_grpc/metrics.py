"""What Prometheus is told. No label has anything that a caller chose: names, texts, secrets."""

import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import prometheus_client as prometheus
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from argus_grpc.access.policy import RPCS
from argus_grpc.calls import Call, ExportFacts
from argus_grpc.status import reason_of
from argus_grpc.version import VERSION

_OTHER = "other"
"""All methods of gRPC's own services."""
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)


class WatchedStore(Protocol):
    """What is told of the store."""

    @property
    def watermark(self) -> int: ...
    @property
    def removed_through(self) -> int: ...
    @property
    def is_available(self) -> bool: ...
    @property
    def file_bytes(self) -> int: ...
    @property
    def wal_bytes(self) -> int: ...


class WatchedLog(Protocol):
    """What is told of the audit log."""

    @property
    def waiting(self) -> int: ...
    @property
    def is_failing(self) -> bool: ...


class Metrics:
    """Counts, in a registry of its own. Safe for use by many threads."""

    def __init__(self) -> None:
        # Half as many series; rates do not need to know when a counter began.
        prometheus.disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = prometheus.CollectorRegistry()
        prometheus.ProcessCollector(registry=self.registry)
        build = prometheus.Info("argus_build", "The program.", registry=self.registry)
        build.info({"version": VERSION, "python": platform.python_version()})
        self._calls = self._counter("argus_calls", "Calls that are over.", "method", "code")
        self._call_s = self._seconds("argus_call_duration", "From a call's beginning to its end.", "method")
        self._errors = self._counter("argus_errors", "Calls that ended with an error.", "reason")
        self._exports = prometheus.Gauge(
            "argus_exports_active", "Streams that run.", ["method"], registry=self.registry
        )
        self._rows = self._counter("argus_export_rows", "Rows handed to gRPC.", "method")
        self._bytes = self._counter("argus_export_bytes", "Bytes of their batches.", "method")
        self._first_batch_s = self._seconds(
            "argus_export_first_batch", "From a call's beginning to its first batch.", "method"
        )
        self._queue_s = self._seconds(
            "argus_export_queue_wait", "How long exports and plans waited for their turn."
        )
        self._ingested = self._counter("argus_ingest_events", "Events stored.")
        self._batches = self._counter("argus_ingest_batches", "Batches stored, or known to be.", "result")
        self._ingested_bytes = self._counter("argus_ingest_bytes", "Bytes of their requests.")
        self._commit_s = self._seconds("argus_store_commit", "What commits to the database took.")

    def committed(self, seconds: float) -> None:
        """Counts a commit of the store."""
        self._commit_s.observe(seconds)

    def ended(self, call: Call, code: str) -> None:
        """Counts a call that is over."""
        method = _label(call.method)
        self._calls.labels(method, code).inc()
        self._call_s.labels(method).observe(time.monotonic() - call.began_s)
        if call.error is not None:
            self._errors.labels(reason_of(call.error)).inc()
        if call.ingest is not None and code == "OK":
            self._batches.labels("known" if call.ingest.was_stored_before else "stored").inc()
            self._ingested_bytes.inc(call.ingest.request_bytes)
            if not call.ingest.was_stored_before:
                self._ingested.inc(call.ingest.events)

    @contextmanager
    def export(self, call: Call) -> Iterator[None]:
        """Counts an export as running while this is held. It has its turn by now."""
        if call.queued_s is not None:
            self._queue_s.observe(call.queued_s)
        with self._exports.labels(_label(call.method)).track_inprogress():
            yield

    def sends(self, call: Call, messages: Iterator[Any]) -> Iterator[Any]:
        """The messages of an export, counted as they leave, so that a long one is seen at once."""
        method = _label(call.method)
        rows, sizes = self._rows.labels(method), self._bytes.labels(method)
        told = _Told()
        for message in messages:
            if call.export is not None and call.export.rows != told.rows:
                if call.export.first_batch_s is not None and not told.rows:
                    self._first_batch_s.labels(method).observe(call.export.first_batch_s - call.began_s)
                new = told.until(call.export)
                rows.inc(new[0])
                sizes.inc(new[1])
            yield message

    def watch_store(self, store: WatchedStore) -> None:
        self.registry.register(_Store(store))

    def watch_queue(self, waiting: Callable[[], int]) -> None:
        self._watch("argus_exports_waiting", "Exports that wait for their turn.", waiting)

    def watch_audit(self, log: WatchedLog) -> None:
        self._watch("argus_audit_waiting_records", "Records not written yet.", lambda: log.waiting)
        self._watch("argus_audit_available", "1 if it can be written, else 0.", lambda: not log.is_failing)

    def _watch(self, name: str, help_: str, value: Callable[[], float]) -> None:
        """A gauge that is asked for at each scrape."""
        prometheus.Gauge(name, help_, registry=self.registry).set_function(value)

    def _counter(self, name: str, help_: str, *labels: str) -> prometheus.Counter:
        return prometheus.Counter(name, help_, labels, registry=self.registry)

    def _seconds(self, name: str, help_: str, *labels: str) -> prometheus.Histogram:
        return prometheus.Histogram(
            name, help_, labels, unit="seconds", buckets=_SECONDS, registry=self.registry
        )


class _Told:
    """How much of an export has been counted."""

    def __init__(self) -> None:
        self.rows = self._bytes = 0

    def until(self, export: ExportFacts) -> tuple[int, int]:
        new = export.rows - self.rows, export.payload_bytes - self._bytes
        self.rows, self._bytes = export.rows, export.payload_bytes
        return new


class _Store(Collector):
    """Asked at each scrape."""

    def __init__(self, store: WatchedStore) -> None:
        self._store = store

    def collect(self) -> Iterator[Metric]:
        store = self._store
        removed, watermark = store.removed_through, store.watermark
        for name, help_, value in (
            ("argus_store_events", "Events that are there.", watermark - removed),
            ("argus_store_watermark", "The greatest sequence that is committed.", watermark),
            ("argus_store_file_bytes", "The database's file; 0 in memory.", store.file_bytes),
            ("argus_store_wal_bytes", "Its log.", store.wal_bytes),
            ("argus_store_available", "1 if it can be read and written, else 0.", int(store.is_available)),
        ):
            yield GaugeMetricFamily(name, help_, value)
        yield CounterMetricFamily("argus_store_removed_events", "Events that were removed.", removed)


def _label(method: str) -> str:
    name = method.rpartition("/")[2]
    return name if name in RPCS else _OTHER
