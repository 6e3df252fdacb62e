"""The audit log's file: lines are whole, or gone on with."""

import resource
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argus_grpc.audit.file import AppendedFile


@contextmanager
def files_end_at(size_bytes: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@given(lengths=st.lists(st.integers(0, 40), min_size=1, max_size=10), limit=st.integers(0, 200))
def test_lines_that_a_full_disk_cut_are_gone_on_with(
    tmp_path_factory: pytest.TempPathFactory, lengths: list[int], limit: int
) -> None:
    path = tmp_path_factory.mktemp("audit") / "audit.jsonl"
    lines = [b"%d" % number * length + b"\n" for number, length in enumerate(lengths)]
    file, waiting = AppendedFile(path), deque(lines)
    with files_end_at(limit):
        try:
            file.append(waiting)
        except OSError:
            assert waiting
            assert path.stat().st_size == limit
    file.append(waiting)
    assert not waiting
    assert path.read_bytes() == b"".join(lines)
    file.close()


def test_a_line_that_was_begun_in_a_file_that_moved_is_whole_in_the_next(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    file, waiting = AppendedFile(path), deque([b"first\n", b"second\n"])
    with files_end_at(8), pytest.raises(OSError, match="File too large"):
        file.append(waiting)
    path.rename(tmp_path / "moved")
    file.append(waiting)
    assert (tmp_path / "moved").read_bytes() == b"first\nse"
    assert path.read_bytes() == b"second\n"
    file.close()


def test_only_a_regular_file_will_do() -> None:
    with pytest.raises(OSError, match="not a regular file"):
        AppendedFile(Path("/dev/null"))
