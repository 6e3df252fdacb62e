"""Thread names' patterns: what is taken, the store can answer, in linear time, and as Python's fnmatch says."""

import fnmatch
from collections.abc import Iterator
from contextlib import contextmanager

import duckdb
import ibis
import pyarrow as pa
import pyarrow.compute as pc

from argus_grpc.errors import InvalidField
from argus_grpc.query import check_query, glob_to_regex
from argus_grpc.v1.query_pb2 import EventQuery, ThreadNameMatch
from tests.fuzz.door import Attempt, Door

_KINDS = ("glob", "regex", "contains")
_NAMES = ("", "main", "pool-1-thread-2", "a" * 200, "a]b[c", "x.y*z?", "\n", "线程-1", "\U0001f600", "[!a]", "^$\\", "A-Z")


@contextmanager
def _open() -> Iterator[Attempt]:
    names = pa.array(_NAMES)
    with duckdb.connect() as connection:

        def attempt(data: bytes) -> None:
            kind, text = _KINDS[data[0] % 3] if data else "glob", data[1:].decode(errors="replace")
            match = ThreadNameMatch(**{kind: text})
            try:
                check_query(EventQuery(thread_name=match))
            except InvalidField as refusal:
                assert len(str(refusal)) < 3_000, "a refusal of any length"
                return
            if kind == "contains":
                assert _by_duckdb(connection, "contains", text) == [text in name for name in _NAMES]
                return
            expression = glob_to_regex(text) if kind == "glob" else text
            told = _by_duckdb(connection, "regexp_matches", expression)
            assert told == pc.match_substring_regex(names, expression).to_pylist(), "Arrow says otherwise"
            # fnmatch's own sets differ in what few write: a reversed range within others, "--", "&&", "~~", "||".
            if kind == "glob" and "[" not in text:
                assert told == [fnmatch.fnmatchcase(name, text) for name in _NAMES], "fnmatch says otherwise"

        yield attempt


def _by_duckdb(connection: duckdb.DuckDBPyConnection, function: str, text: str) -> list[bool]:
    # As the store has it: a literal, written by the same compiler.
    literal = ibis.to_sql(ibis.literal(text), dialect="duckdb").removeprefix("SELECT").partition(" AS ")[0]
    names = ", ".join(ibis.to_sql(ibis.literal(n), dialect="duckdb").removeprefix("SELECT").partition(" AS ")[0] for n in _NAMES)
    found = connection.sql(f"SELECT {function}(unnest([{names}]), {literal})").fetchall()
    return [bool(row[0]) for row in found]


def _seeds() -> Iterator[bytes]:
    globs = ("pool-*-thread-?", "[a-z]*", "[!a]?", "*" * 999, "[]a]", "a[", "*a" * 499, "\\*", "[z-a]")
    regexes = (
        "^a+$", "(a|b)*c", "(?i)MAIN", r"\pL+", "(a{1000}){1000}", "((a{100}){100}){100}", "(" * 400 + ")" * 400,
        "x{0,1000}" * 100, r"\Qa\E", "(?P<n>a)", "[[:alpha:]]", "(a*)*$", r"\x{10FFFF}", "a{1001}", "(?s).",
    )  # fmt: skip
    yield from (b"\0" + glob.encode() for glob in globs)
    yield from (b"\1" + regex.encode() for regex in regexes)
    yield from (b"\2" + text.encode() for text in ("a", "%_", "'", "\\"))


DOOR = Door(
    open=_open,
    seeds=_seeds,
    words=(b"*", b"?", b"[", b"]", b"[!", b"(", b")", b"{1000}", b"|", b"\\", b"(?i)", b"\\p{Greek}", b".*", b"[^", b"-", b"'", b"{0,999}"),
    follows=("argus_grpc.query",),
    max_bytes=1_200,
    timeout_s=20,
)
