"""Stores of synthetic events, made once and kept under build/bench/."""

import hashlib
import inspect
import shutil
from pathlib import Path

from argus_grpc.columns import STORED_SCHEMA
from tests import synthetic

CACHE = Path(__file__).parents[2] / "build" / "bench"
SEED = 1
_EVENT_INTERVAL_NS = 100_000


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


def copied_store(rows: int, folder: Path) -> Path:
    """A copy for a server in a folder, made if it is not there. A server writes to its database, and
    while it is up, DuckDB lets nobody else open that file."""
    copy = folder / f"served-{rows}.duckdb"
    if not copy.exists():
        shutil.copyfile(cached_store(rows), copy)
    return copy


def remove_store(database: Path) -> None:
    """With the log beside it, which a new database of that name would read."""
    database.unlink(missing_ok=True)
    database.with_name(f"{database.name}.wal").unlink(missing_ok=True)


def middle_ns(rows: int) -> int:
    """A time about which half of the events of a store come before, half after."""
    return synthetic.FIRST_TIMESTAMP_NS + rows // 2 * _EVENT_INTERVAL_NS
