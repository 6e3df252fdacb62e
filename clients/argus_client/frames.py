"""Batches into what people analyse them with: pandas, polars and DuckDB, none of which this needs itself."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import pyarrow as pa

if TYPE_CHECKING:
    import pandas
    import polars

_VIEW = "argus_client_export"

_DUCKDB_TYPES = {
    pa.string(): "VARCHAR",
    pa.int8(): "TINYINT",
    pa.int32(): "INTEGER",
    pa.int64(): "BIGINT",
    pa.float64(): "DOUBLE",
    pa.timestamp("ns"): "TIMESTAMP_NS",
}


class DuckDbConnection(Protocol):
    """What is used of a duckdb.DuckDBPyConnection."""

    def begin(self) -> Any: ...
    def commit(self) -> Any: ...
    def rollback(self) -> Any: ...
    def execute(self, query: str, /) -> Any: ...
    def register(self, view_name: str, python_object: object, /) -> Any: ...
    def unregister(self, view_name: str, /) -> Any: ...


def to_pandas(table: pa.Table) -> "pandas.DataFrame":
    """Export.to_pandas of these rows."""
    try:
        import pandas
    except ImportError as error:
        raise _missing("to_pandas", "pandas") from error
    # pandas' plain types would make floats of integers where one is NULL.
    dtypes = {
        pa.int32(): pandas.Int32Dtype(),
        pa.int64(): pandas.Int64Dtype(),
        pa.float64(): pandas.Float64Dtype(),
        pa.string(): pandas.StringDtype("pyarrow"),
    }
    return table.unify_dictionaries().to_pandas(types_mapper=dtypes.get)


def to_polars(table: pa.Table) -> "polars.DataFrame":
    """Export.to_polars of these rows."""
    try:
        import polars
    except ImportError as error:
        raise _missing("to_polars", "polars") from error
    frame = polars.from_arrow(table)
    assert isinstance(frame, polars.DataFrame)
    return frame


def to_duckdb(
    batches: Iterable[pa.RecordBatch], schema: pa.Schema, connection: DuckDbConnection, table_name: str
) -> int:
    """Export.to_duckdb of these batches, which have the schema; returns the number of rows."""
    table = _quoted(table_name)
    columns = {field.name: _duckdb_type(field) for field in schema}
    rows = 0
    current = _CurrentBatch(pa.record_batch([pa.nulls(0, field.type) for field in schema], schema=schema))
    # One view for them all: a transaction keeps every view that was there in it, and what it shows.
    connection.register(_VIEW, current)
    try:
        connection.begin()
        try:
            definitions = ", ".join(f"{_quoted(name)} {type_}" for name, type_ in columns.items())
            connection.execute(f"CREATE TABLE IF NOT EXISTS {table} ({definitions})")
            _refuse_other_types(table_name, columns, connection.execute(f"DESCRIBE {table}").fetchall())
            for batch in batches:
                # A statement each: DuckDB 1.5 keeps the Arrow memory that one reads until it ends.
                current.batch = batch
                connection.execute(f"INSERT INTO {table} BY NAME FROM {_VIEW}")
                rows += batch.num_rows
            connection.commit()
        except BaseException:
            connection.rollback()
            raise
    finally:
        connection.unregister(_VIEW)
    return rows


class _CurrentBatch:
    """What DuckDB reads whenever it reads the view (Arrow's PyCapsule interface)."""

    def __init__(self, batch: pa.RecordBatch) -> None:
        self.batch = batch

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return pa.Table.from_batches([_without_zone(self.batch)]).__arrow_c_stream__(requested_schema)


def _missing(method: str, package: str) -> ImportError:
    return ImportError(f"{method} needs the package {package}: pip install {package}", name=package)


def _duckdb_type(field: pa.Field) -> str:
    type_ = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
    # UTC, as all of ours are; DuckDB's own type with a zone has microseconds before its version 2.
    return _DUCKDB_TYPES[pa.timestamp("ns") if pa.types.is_timestamp(type_) else type_]


def _refuse_other_types(table_name: str, columns: dict[str, str], described: Sequence[Sequence[Any]]) -> None:
    # DuckDB would convert, an instant by the session's time zone.
    types = {str(row[0]): str(row[1]) for row in described}
    differing = [
        f"{name} is {types.get(name, 'missing')}, not {type_}"
        for name, type_ in columns.items()
        if types.get(name) != type_
    ]
    if differing:
        raise ValueError(f"table {table_name} is there, with other columns: {'; '.join(differing)}")


def _without_zone(batch: pa.RecordBatch) -> pa.RecordBatch:
    columns = [
        column.cast(pa.timestamp("ns")) if pa.types.is_timestamp(column.type) else column
        for column in batch.columns
    ]
    return pa.record_batch(columns, names=batch.schema.names)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
