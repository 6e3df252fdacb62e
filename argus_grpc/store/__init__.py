"""Where events are kept. The only package that knows which engine does it."""

from argus_grpc.store.duckdb_store import DuckDbStore
from argus_grpc.store.selection import Extent, Selection

__all__ = ["DuckDbStore", "Extent", "Selection"]
