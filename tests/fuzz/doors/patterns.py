"""Thread names' patterns: what is taken, the store can answer, in linear time, and as fnmatch does."""

import fnmatch
from collections.abc import Iterator
from contextlib import contextmanager

import duckdb
import ibis
import pyarrow as pa
import pyarrow.compute as pc

from argus_grpc.columns import STORED_SCHEMA
from argus_grpc.errors import InvalidField
from argus_grpc.query import check_query, glob_to_regex, matching
from argus_grpc.v1.query_pb2 import EventQuery, ThreadNameMatch
from tests.fuzz.door import Attempt, Door
from tests.granting import unrestricted

_MAX_TOLD_CHARACTERS = 3_000
# fnmatch itself is not linear.
_MANY_STARS = 20
_KINDS = ("glob", "regex", "contains")
_NAMES = (
    "",
    "main",
    "pool-1-thread-2",
    "a" * 200,
    "a]b[c",
    "x.y*z?",
    "\n",
    "线程-1",
    "\U0001f600",
    "[!a]",
    "^$\\",
    "A-Z",
)


@contextmanager
def _open() -> Iterator[Attempt]:
    names = pa.array(_NAMES)
    with duckdb.connect() as connection:
        rows = [{"sequence": place, "thread_name": name} for place, name in enumerate(_NAMES)]
        connection.register("given", pa.Table.from_pylist(rows, schema=STORED_SCHEMA))
        connection.execute("CREATE TABLE events AS FROM given")

        def attempt(data: bytes) -> None:
            kind, text = _KINDS[data[0] % 3] if data else "glob", data[1:].decode(errors="replace")
            query = EventQuery(thread_name=ThreadNameMatch(**{kind: text}))
            try:
                check_query(query)
            except InvalidField as refusal:
                assert len(str(refusal)) < _MAX_TOLD_CHARACTERS, "a refusal of any length"
                return
            sql = ibis.to_sql(matching(unrestricted(query)).thread_name, dialect="duckdb")
            found = {row[0] for row in connection.sql(str(sql)).fetchall()}
            told = [name in found for name in _NAMES]
            if kind == "contains":
                assert told == [text in name for name in _NAMES]
                return
            expression = glob_to_regex(text) if kind == "glob" else text
            assert told == pc.match_substring_regex(names, expression).to_pylist(), "Arrow says otherwise"
            # Of sets, fnmatch reads some otherwise that few write.
            if kind == "glob" and "[" not in text and text.count("*") < _MANY_STARS:
                assert told == [fnmatch.fnmatchcase(name, text) for name in _NAMES], "fnmatch says otherwise"

        yield attempt


def _seeds() -> Iterator[bytes]:
    globs = ("pool-*-thread-?", "[a-z]*", "[!a]?", "*" * 999, "[]a]", "a[", "*a" * 499, "\\*", "[z-a]")
    regexes = (
        "^a+$",
        "(a|b)*c",
        "(?i)MAIN",
        r"\pL+",
        "(a{1000}){1000}",
        "((a{100}){100}){100}",
        "(" * 400 + ")" * 400,
        "x{0,1000}" * 100,
        r"\Qa\E",
        "(?P<n>a)",
        "^A(?<n>a)",
        "[[:alpha:]]",
        "(a*)*$",
        r"\x{10FFFF}",
        "a{1001}",
        "(?s).",
    )
    yield from (b"\0" + glob.encode() for glob in globs)
    yield from (b"\1" + regex.encode() for regex in regexes)
    yield from (b"\2" + text.encode() for text in ("a", "%_", "'", "\\"))


DOOR = Door(
    open=_open,
    seeds=_seeds,
    words=(
        b"*",
        b"?",
        b"[",
        b"]",
        b"[!",
        b"(",
        b")",
        b"{1000}",
        b"|",
        b"\\",
        b"(?i)",
        b"\\p{Greek}",
        b".*",
        b"[^",
        b"-",
        b"'",
        b"{0,999}",
    ),
    follows=("argus_grpc.query",),
    max_bytes=1_200,
    timeout_s=20,
)
