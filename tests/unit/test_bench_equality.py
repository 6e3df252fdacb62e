"""The bench compares files by what they hold."""

from pathlib import Path

import pytest

from tests.bench.equality import Content, first_difference


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    return tmp_path / "one.jsonl", tmp_path / "other.jsonl"


def test_null_members_are_nothing_but_text_that_looks_like_one_is(files: tuple[Path, Path]) -> None:
    one, other = files
    one.write_text('{"timestamp":"t","threadName":",\\"durationNs\\":null"}\n')
    other.write_text('{"timestamp":"t","threadName":",\\"durationNs\\":null","durationNs":null}\n')
    assert Content.of(one) == Content.of(other)
    other.write_text('{"timestamp":"t","threadName":""}\n')
    assert Content.of(one) != Content.of(other)


def test_the_order_of_lines_shows_in_the_digest_alone(files: tuple[Path, Path]) -> None:
    one, other = files
    one.write_text("a\nb\n")
    other.write_text("b\na\n")
    assert Content.of(one).lines == Content.of(other).lines
    assert Content.of(one).sha256 != Content.of(other).sha256


@pytest.mark.parametrize("shorter", ["a\n", "a\nc\n"])
def test_the_first_difference_is_told(files: tuple[Path, Path], shorter: str) -> None:
    one, other = files
    one.write_text("a\nb\n")
    other.write_text(shorter)
    assert first_difference(one, other).startswith("line 2:\none.jsonl: b'b\\n'\n")
