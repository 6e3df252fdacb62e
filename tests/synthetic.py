"""Synthetic but lifelike events, made by DuckDB itself, straight into a store: any number, seeded."""

from pathlib import Path

import duckdb

from argus_grpc.store import DuckDbStore

FIRST_TIMESTAMP_NS = 1_704_067_200_000_000_000
_MIB = 1024 * 1024

# A busy service: virtual threads that start, end, and now and then pin; samples, allocations and
# contention between; GC and CPU figures every so often. Events arrive nearly in order: each up to
# 5 ms out of place, and one in a thousand a minute late. Stacks repeat, as they do in life.
_EVENTS = """
WITH dice AS (
    SELECT i, (hash(i + {seed}) >> 2)::BIGINT AS h, (hash(i * 31 + {seed}) >> 2)::BIGINT AS g
    FROM range({rows}) AS numbers(i)
), kinds AS (
    SELECT *, CASE
        WHEN h % 1000 < 430 THEN 1 WHEN h % 1000 < 860 THEN 2 WHEN h % 1000 < 900 THEN 3
        WHEN h % 1000 < 901 THEN 4 WHEN h % 1000 < 903 THEN 10 WHEN h % 1000 < 907 THEN 11
        WHEN h % 1000 < 909 THEN 20 WHEN h % 1000 < 950 THEN 30 WHEN h % 1000 < 951 THEN 31
        WHEN h % 1000 < 990 THEN 40 ELSE 41 END AS kind FROM dice
), stacks AS (
    SELECT k, array_to_string(list_transform(range(12 + k % 20),
        lambda depth: 'com.example.orders.Layer' || depth || '.call' || k || ':' || (depth * 7 + 11)),
        chr(10)) AS stack_trace FROM range(40) AS numbers(k)
)
SELECT
    i + 1 AS sequence,
    {first_timestamp_ns} + i * 100_000 + g % 5_000_000
        - CASE WHEN g % 1000 = 0 THEN 60_000_000_000 ELSE 0 END AS timestamp,
    kind::INTEGER AS event_type,
    'orders@host-' || (h // 1000 % 4) || ':4711' AS source,
    CASE WHEN kind IN (1, 2, 3, 4, 30, 40, 41) THEN i // 2 + 30 END AS thread_id,
    CASE WHEN kind IN (1, 2, 3, 30, 40, 41)
        THEN CASE WHEN g % 10 = 0 THEN '' ELSE 'order-worker-' || (i // 2) END END AS thread_name,
    CASE WHEN kind IN (1, 2, 3) THEN g // 7 % 8 + 22 END AS carrier_thread,
    CASE WHEN kind IN (2, 3, 10, 41) THEN g % 1_000_000_000 // (1 + h % 997) END AS duration_ns,
    stack_trace,
    CASE WHEN kind = 4 THEN 'queue is full' END AS exception_message,
    CASE WHEN kind = 3 THEN 'Native frame on stack' END AS pinned_reason,
    CASE WHEN kind = 3 THEN 'LockSupport.park' END AS blocking_operation,
    CASE WHEN kind = 10 THEN 'G1New' END AS gc_name,
    CASE WHEN kind = 10 THEN 'G1 Evacuation Pause' END AS gc_cause,
    CASE WHEN kind = 11 THEN g % 4_000_000_000 END AS heap_used_before_bytes,
    CASE WHEN kind = 11 THEN 4_294_967_296 END AS heap_committed_bytes,
    CASE WHEN kind = 20 THEN (g % 1000) / 1000.0 END AS cpu_jvm_user,
    CASE WHEN kind = 30 THEN 'byte[]' END AS class_name,
    CASE WHEN kind = 30 THEN g % 65_536 END AS allocation_size_bytes,
    CASE WHEN kind = 40 THEN 'call' || (g % 40) END AS method_name,
    CASE WHEN kind = 40 THEN (g % 500 + 1)::INTEGER END AS line_number,
    CASE WHEN kind = 41 THEN 'java.lang.Object' END AS monitor_class,
    CASE WHEN kind = 41 THEN 'ENTER' END AS contention_type
FROM kinds LEFT JOIN stacks ON k = CASE WHEN kind IN (3, 4, 40, 41) THEN g % 40 END
"""


def make_store(path: Path, rows: int, seed: int = 1) -> None:
    """Makes a new database with this many events, in the server's own tables."""
    DuckDbStore(path, memory_limit_bytes=512 * _MIB).close()
    sql = _EVENTS.format(rows=rows, seed=seed, first_timestamp_ns=FIRST_TIMESTAMP_NS)
    with duckdb.connect(path) as connection:
        connection.execute(f"INSERT INTO events BY NAME {sql}")
