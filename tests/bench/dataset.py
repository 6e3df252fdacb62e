"""Stores of synthetic events, made once and kept under build/bench/."""

import hashlib
import inspect
from pathlib import Path

from argus_grpc.columns import STORED_SCHEMA
from tests import synthetic

CACHE = Path(__file__).parents[2] / "build" / "bench"
SEED = 1


def cached_store(rows: int) -> Path:
    """A database with this many events. Not to be written to: whoever serves it takes a copy."""
    made_by = f"{STORED_SCHEMA}\n{inspect.getsource(synthetic)}"
    name = f"events-{rows}-{SEED}-{hashlib.sha256(made_by.encode()).hexdigest()[:12]}.duckdb"
    path = CACHE / name
    if not path.exists():
        part = path.with_suffix(".part")
        part.unlink(missing_ok=True)
        synthetic.make_store(part, rows, SEED)
        part.rename(path)
    return path
