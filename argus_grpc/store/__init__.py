"""Where events are kept. The only package that knows which engine does it."""

from argus_grpc.store.duckdb_store import DuckDbStore
from argus_grpc.store.selection import CompiledQuery, Extent, Selection

__all__ = ["CompiledQuery", "DuckDbStore", "Extent", "Selection"]
