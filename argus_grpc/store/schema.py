"""The database's tables, made from the columns of the schema."""

import hashlib

import duckdb
import pyarrow as pa

from argus_grpc.columns import COLUMNS, EVENT_TYPE_NAMES
from argus_grpc.errors import StoreUnavailable
from argus_grpc.store import batch_ids
from argus_grpc.v1.export_pb2 import ColumnType

ROW_GROUP_EVENTS = 122_880
"""What DuckDB stores together."""

_SQL_TYPES = {pa.string(): "VARCHAR", pa.int32(): "INTEGER", pa.int64(): "BIGINT", pa.float64(): "DOUBLE"}


def create_or_upgrade(connection: duckdb.DuckDBPyConnection) -> None:
    """Makes what is missing: tables, columns that the schema has gained, the readable view.

    Raises StoreUnavailable if the file has columns that this version does not know.
    """
    wanted = {column.name: _SQL_TYPES[column.arrow_type] for column in COLUMNS}
    columns = ", ".join(f'"{name}" {type_}' for name, type_ in wanted.items())
    connection.execute(f"CREATE TABLE IF NOT EXISTS events ({columns})")
    connection.execute(
        "CREATE TABLE IF NOT EXISTS argus_random (name VARCHAR PRIMARY KEY, bytes BLOB NOT NULL)"
    )
    connection.execute(batch_ids.CREATE_TABLE)
    # One row: the events with sequences from 1 to this one are gone.
    connection.execute("CREATE TABLE IF NOT EXISTS argus_removed (through BIGINT NOT NULL)")
    if not connection.execute("SELECT through FROM argus_removed").fetchall():
        connection.execute("INSERT INTO argus_removed VALUES (0)")
    # Events up to a sequence had come at a time, in seconds since the Unix epoch.
    connection.execute(
        "CREATE TABLE IF NOT EXISTS argus_arrivals (sequence BIGINT NOT NULL, arrived_by_s DOUBLE NOT NULL)"
    )

    found = dict(
        connection.execute(
            "SELECT column_name, data_type FROM information_schema.columns WHERE table_name = 'events'"
        ).fetchall()
    )
    for name, type_ in found.items():
        if wanted.get(name) != type_:
            raise StoreUnavailable(
                f"the database's column {name} {type_} is not known to this version; did a newer one make it?"
            )
    for name in wanted.keys() - found.keys():
        connection.execute(f'ALTER TABLE events ADD COLUMN "{name}" {wanted[name]}')
    # Only when it is another one: a database on a full disk can be opened and read.
    view = _readable_view()
    digest = hashlib.sha256(view.encode()).hexdigest()
    made = connection.execute("SELECT comment FROM duckdb_views() WHERE view_name = 'events_readable'")
    if made.fetchall() != [(digest,)]:
        connection.execute(view)
        connection.execute(f"COMMENT ON VIEW events_readable IS '{digest}'")


def _readable_view() -> str:
    """Events for people who open the file: timestamps as times, event types by name."""
    expressions = []
    for column in COLUMNS:
        match column.type:
            case ColumnType.COLUMN_TYPE_TIMESTAMP_NS:
                # TRY: DuckDB's TIMESTAMP_NS is a little narrower than an int64 of nanoseconds.
                expressions.append(f'TRY(make_timestamp_ns("{column.name}")) AS "{column.name}"')
            case ColumnType.COLUMN_TYPE_EVENT_TYPE:
                names = " ".join(f"WHEN {code} THEN '{name}'" for code, name in EVENT_TYPE_NAMES.items())
                expressions.append(f'CASE "{column.name}" {names} END AS "{column.name}"')
            case _:
                expressions.append(f'"{column.name}"')
    return f"CREATE OR REPLACE VIEW events_readable AS SELECT {', '.join(expressions)} FROM events"  # noqa: S608 - our own names
