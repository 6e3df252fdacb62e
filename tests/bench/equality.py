"""Whether files that two programs wrote hold the same events."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from argus_grpc.columns import DEFAULT_COLUMNS

_BLOCK_BYTES = 8 * 1024 * 1024
# Inside a string the quotes would be escaped, so this finds whole members only.
_NULL_MEMBERS = tuple(f',"{column.json_name}":null'.encode() for column in DEFAULT_COLUMNS)


@dataclass(frozen=True)
class Content:
    """What a file of lines holds, with null members of JSON objects left out.

    `lines` is the same for the same lines in any order, within one run of Python.
    """

    sha256: str
    lines: int

    @classmethod
    def of(cls, file: Path) -> "Content":
        digest, lines = hashlib.sha256(), 0
        for block in _line_blocks(file):
            digest.update(block)
            lines += sum(map(hash, block.splitlines()))
        return cls(digest.hexdigest(), lines)


def first_difference(one: Path, other: Path) -> str:
    """The first lines that two files do not share, for people."""
    pairs = zip_longest(_lines(one), _lines(other))
    number, (line, other_line) = next((n, pair) for n, pair in enumerate(pairs, 1) if pair[0] != pair[1])
    return f"line {number:,}:\n{one.name}: {line!r}\n{other.name}: {other_line!r}"


def _lines(file: Path) -> Iterator[bytes]:
    for block in _line_blocks(file):
        yield from block.splitlines(keepends=True)


def _line_blocks(file: Path) -> Iterator[bytes]:
    """The file in blocks of whole lines, null members left out."""
    with file.open("rb") as stream:
        while block := stream.read(_BLOCK_BYTES):
            block += stream.readline()
            for member in _NULL_MEMBERS if file.suffix == ".jsonl" else ():
                block = block.replace(member, b"")
            yield block
