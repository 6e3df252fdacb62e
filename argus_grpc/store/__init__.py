"""Where events are kept. The only package that knows which engine does it."""

from argus_grpc.store.appender import CommitTiming
from argus_grpc.store.batch_ids import BatchId
from argus_grpc.store.brought import Appended, Brought
from argus_grpc.store.duckdb_store import DuckDbStore
from argus_grpc.store.grouped import Grouped, Totals
from argus_grpc.store.retention import RetentionLimits
from argus_grpc.store.selection import CompiledQuery, Extent, Selection

__all__ = [
    "Appended",
    "BatchId",
    "Brought",
    "CommitTiming",
    "CompiledQuery",
    "DuckDbStore",
    "Extent",
    "Grouped",
    "RetentionLimits",
    "Selection",
    "Totals",
]
