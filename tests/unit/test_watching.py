"""Which files of a watched folder are taken, and when: looks at real files, without waiting."""

import json
import os
from pathlib import Path

import pytest

from argus_client.errors import OutputError, SourceError
from argus_client.watching import STATE_NAME, FoundFile, WatchedFolder

SERVER = "localhost:50051"


def names(found: list[FoundFile]) -> list[str]:
    return [file.key for file in found]


def take_all(folder: WatchedFolder) -> list[str]:
    found = folder.look()
    for file in found:
        folder.take(file)
    return names(found)


def test_a_file_is_there_when_it_is_the_same_in_two_looks(tmp_path: Path) -> None:
    folder = WatchedFolder(tmp_path, SERVER)
    path = tmp_path / "a.jfr"
    path.write_bytes(b"x")
    assert folder.look() == []
    path.write_bytes(b"xy")
    assert folder.look() == []
    assert take_all(folder) == ["a.jfr"]
    assert folder.look() == []


def test_files_come_by_rename_and_in_folders_and_hidden_ones_never(tmp_path: Path) -> None:
    folder = WatchedFolder(tmp_path, SERVER)
    (tmp_path / ".a.jfr").write_bytes(b"x")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "b.jfr.part").write_bytes(b"x")
    assert [take_all(folder), take_all(folder)] == [[], []]
    (tmp_path / ".a.jfr").rename(tmp_path / "a.jfr")
    (tmp_path / "sub" / "b.jfr.part").rename(tmp_path / "sub" / "b.jfr")
    assert [take_all(folder), take_all(folder)] == [[], ["a.jfr", "sub/b.jfr"]]


def test_another_process_goes_on_with_the_same_server_alone(tmp_path: Path) -> None:
    (tmp_path / "a.jfr").write_bytes(b"x")
    first = WatchedFolder(tmp_path, SERVER)
    first.look()
    assert take_all(first) == ["a.jfr"]
    (tmp_path / "b.jfr").write_bytes(b"x")

    again = WatchedFolder(tmp_path, SERVER)
    again.look()
    assert take_all(again) == ["b.jfr"]
    other = WatchedFolder(tmp_path, "elsewhere:1")
    other.look()
    assert take_all(other) == ["a.jfr", "b.jfr"]


def test_a_file_that_is_replaced_is_taken_again(tmp_path: Path) -> None:
    folder = WatchedFolder(tmp_path, SERVER)
    path = tmp_path / "a.jfr"
    path.write_bytes(b"x")
    assert [take_all(folder), take_all(folder), take_all(folder)] == [[], ["a.jfr"], []]
    path.write_bytes(b"y")
    os.utime(path, ns=(0, 7))
    assert [take_all(folder), take_all(folder), take_all(folder)] == [[], ["a.jfr"], []]


def test_what_is_refused_waits_until_it_changes(tmp_path: Path) -> None:
    folder = WatchedFolder(tmp_path, SERVER)
    path = tmp_path / "a.jfr"
    path.write_bytes(b"x")
    folder.look()
    (found,) = folder.look()
    folder.refuse(found)
    assert folder.look() == []
    path.write_bytes(b"xyz")
    assert [names(folder.look()), names(folder.look())] == [[], ["a.jfr"]]
    # Another process tries it in any case.
    other = WatchedFolder(tmp_path, SERVER)
    assert [names(other.look()), names(other.look())] == [[], ["a.jfr"]]


def test_a_file_that_changed_while_it_was_read_is_taken_again(tmp_path: Path) -> None:
    folder = WatchedFolder(tmp_path, SERVER)
    path = tmp_path / "a.jfr"
    path.write_bytes(b"x")
    folder.look()
    (found,) = folder.look()
    path.write_bytes(b"xy")
    folder.take(found)
    assert [names(folder.look()), names(folder.look())] == [[], ["a.jfr"]]


def test_what_is_gone_is_forgotten(tmp_path: Path) -> None:
    folder = WatchedFolder(tmp_path, SERVER)
    for name in ("a.jfr", "b.jfr"):
        (tmp_path / name).write_bytes(b"x")
    assert [take_all(folder), take_all(folder)] == [[], ["a.jfr", "b.jfr"]]
    (tmp_path / "a.jfr").rename(tmp_path / "c.jfr")
    assert [take_all(folder), take_all(folder)] == [[], ["c.jfr"]]
    state = json.loads((tmp_path / STATE_NAME).read_text())
    assert set(state["sizeBytesAndModifiedNs"][SERVER]) == {"b.jfr", "c.jfr"}
    assert "argus-client ingest --watch" in state["what"]


@pytest.mark.parametrize("content", [b"", b"[]", b'{"version": 2}', b'{"version": 1}', b"\xff", b"7"])
def test_a_damaged_state_is_told(content: bytes, tmp_path: Path) -> None:
    (tmp_path / STATE_NAME).write_bytes(content)
    with pytest.raises(SourceError, match=r"\.argus-client-ingested\.json is damaged, or of another version"):
        WatchedFolder(tmp_path, SERVER)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"gone is not there, or no folder"):
        WatchedFolder(tmp_path / "gone", SERVER)
    there = tmp_path / "there"
    there.mkdir()
    folder = WatchedFolder(there, SERVER)
    (there / STATE_NAME).unlink()
    there.rmdir()
    with pytest.raises(SourceError, match="there is not there any more, or no folder"):
        folder.look()


def test_a_state_that_cannot_be_written_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / f"{STATE_NAME}.tmp").mkdir()
    with pytest.raises(OutputError, match=r"cannot write .*\.argus-client-ingested\.json"):
        WatchedFolder(tmp_path, SERVER)
