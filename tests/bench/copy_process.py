"""`python -m tests.bench.copy_process DATABASE SQL FILE`: DuckDB's COPY, and FILE synced to disk.

It loads nothing but DuckDB, since it is timed from its start.
"""

import os
import sys

import duckdb

database, sql, file = sys.argv[1:]
with duckdb.connect(database, read_only=True) as connection:
    connection.execute(sql)
descriptor = os.open(file, os.O_RDWR)
os.fsync(descriptor)
os.close(descriptor)
