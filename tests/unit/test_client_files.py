"""A file is there whole, or not at all."""

import io
import os
import resource
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import pyarrow as pa
import pytest

from argus_client import ExportClient, OutputError, ServerUnavailable
from argus_client.files import Output, PartFile, read_ending
from argus_client.formats import CsvRenderer, RenderOptions
from argus_grpc.v1.export_pb2 import ExportSummary
from tests.scripted import batch, header, scripted_server, summary

HEADER = b"timestamp,event_type,thread_id,thread_name,carrier_thread,duration_ns\n"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def write_file(path: Path, *, overwrite: bool = False, during: Callable[[], object] = lambda: None) -> None:
    """An export of no events; `during` is called once, when its part and checkpoint are there."""
    with scripted_server(header(0), summary(0)) as server, ExportClient(server.address) as client:
        end = CsvRenderer.end

        def call_and_end(self: CsvRenderer, summary: ExportSummary) -> bytes:
            during()
            return end(self, summary)

        with patch.object(CsvRenderer, "end", call_and_end):
            client.export().write(path, overwrite=overwrite)


def test_the_file_appears_only_at_the_end(tmp_path: Path) -> None:
    seen: list[str] = []
    write_file(tmp_path / "a.csv", during=lambda: seen.extend(names(tmp_path)))
    assert set(seen) == {"a.csv.part", "a.csv.part.checkpoint"}
    assert names(tmp_path) == ["a.csv", "a.csv.manifest.json"]
    assert (tmp_path / "a.csv").read_bytes() == HEADER


def test_an_export_that_does_not_begin_leaves_nothing(tmp_path: Path) -> None:
    with ExportClient("127.0.0.1:1", retry_for_s=0) as client, pytest.raises(ServerUnavailable) as failure:
        client.export().write(tmp_path / "a.csv")
    assert names(tmp_path) == []
    assert not hasattr(failure.value, "__notes__")


def test_an_existing_file_is_refused_before_any_call(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"old")
    with (
        scripted_server(header(0), summary(0)) as server,
        ExportClient(server.address) as client,
        pytest.raises(OutputError, match=r"a\.csv exists already"),
    ):
        client.export().to_csv(path)
    assert server.requests == []
    assert (names(tmp_path), path.read_bytes()) == (["a.csv"], b"old")


def test_overwriting_keeps_the_old_file_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"old")
    contents: list[bytes] = []
    write_file(path, overwrite=True, during=lambda: contents.append(path.read_bytes()))
    assert set(contents) == {b"old"}
    assert path.read_bytes() == HEADER


def test_a_file_that_came_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    with pytest.raises(OutputError, match="exists already"):
        write_file(path, during=lambda: path.write_bytes(b"another's"))
    assert path.read_bytes() == b"another's"
    assert names(tmp_path) == ["a.csv", "a.csv.part", "a.csv.part.checkpoint"]


def test_a_link_to_nowhere_counts_as_existing(tmp_path: Path) -> None:
    (tmp_path / "a.csv").symlink_to(tmp_path / "nowhere")
    with pytest.raises(OutputError, match="exists already"):
        write_file(tmp_path / "a.csv")
    assert names(tmp_path) == ["a.csv"]


def test_what_is_no_manifest_is_not_replaced_unasked(tmp_path: Path) -> None:
    (tmp_path / "a.csv.manifest.json").write_text("{}")
    with pytest.raises(OutputError, match=r"a\.csv\.manifest\.json is there, and is not a manifest"):
        write_file(tmp_path / "a.csv")
    assert names(tmp_path) == ["a.csv.manifest.json"]
    write_file(tmp_path / "a.csv", overwrite=True)
    # The one that a file left behind, on the other hand, is ours.
    (tmp_path / "a.csv").unlink()
    write_file(tmp_path / "a.csv")


def test_two_exports_to_one_file_do_not_mix(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    with PartFile(path) as part:
        part.write(b"first")
        with pytest.raises(OutputError, match=r"a\.csv\.part is in use by another export"):
            write_file(path)
        assert part.part.read_bytes() == b"first"


def test_what_a_killed_export_left_is_written_over(tmp_path: Path) -> None:
    (tmp_path / "a.csv.part").write_bytes(b"a long half of a file" * 100)
    write_file(tmp_path / "a.csv")
    assert (tmp_path / "a.csv").read_bytes() == HEADER


def test_a_finished_file_is_not_emptied_through_its_part_name(tmp_path: Path) -> None:
    """Killed between giving the file its name and taking the .part name away."""
    (tmp_path / "moved.csv").write_bytes(b"finished")
    os.link(tmp_path / "moved.csv", tmp_path / "a.csv.part")
    write_file(tmp_path / "a.csv")
    assert names(tmp_path) == ["a.csv", "a.csv.manifest.json", "moved.csv"]
    assert (tmp_path / "moved.csv").read_bytes() == b"finished"


def test_without_hard_links_it_is_renamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    write_file(tmp_path / "a.csv")
    assert (tmp_path / "a.csv").read_bytes() == HEADER
    path = tmp_path / "b.csv"
    with pytest.raises(OutputError, match="exists already"):
        write_file(path, during=lambda: path.write_bytes(b"another's"))
    assert path.read_bytes() == b"another's"


def test_the_file_has_the_rights_that_the_umask_says(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        write_file(tmp_path / "a.csv")
    finally:
        os.umask(old)
    for name in names(tmp_path):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o640


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (".", "is a folder; name a file in it"),
        ("missing/a.csv", "cannot write .*missing/a.csv: No such file or directory"),
        ("file/a.csv", "cannot write .*file/a.csv: Not a directory"),
    ],
)
def test_a_path_that_cannot_be_written_is_refused_by_name(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=message):
        write_file(tmp_path / name, overwrite=True)


@contextmanager
def files_limited_to(max_bytes: int) -> Iterator[None]:
    """As a full disk: writing beyond fails."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (max_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("ending", ["csv", "csv.gz", "csv.zst", "json", "jsonl"])
def test_a_disk_that_fills_up_is_said_and_what_came_is_kept(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a.{ending}"
    with (
        scripted_server(header(60_000), batch(0, 60_000), summary(60_000)) as server,
        ExportClient(server.address) as client,
        files_limited_to(10_000),
        pytest.raises(OutputError, match=f"cannot write {path}: File too large") as failure,
    ):
        client.export().write(path)
    assert names(tmp_path) == [f"a.{ending}.part", f"a.{ending}.part.checkpoint"]
    assert "with --resume goes on from there" in failure.value.__notes__[0]


def test_a_disk_without_room_for_a_checkpoint_leaves_nothing(tmp_path: Path) -> None:
    with files_limited_to(100), pytest.raises(OutputError, match=r"part\.checkpoint: File too large"):
        write_file(tmp_path / "a.csv")
    assert names(tmp_path) == []


def test_a_device_is_written_to_as_it_is() -> None:
    write_file(Path("/dev/null"))
    assert Path("/dev/null").is_char_device()
    with pytest.raises(OutputError, match="cannot write /dev/full: No space left on device"):
        write_file(Path("/dev/full"))


def test_only_a_file_can_be_gone_on_with() -> None:
    with scripted_server(header(0), summary(0)) as server, ExportClient(server.address) as client:
        for target in ("/dev/null", io.BytesIO()):
            with pytest.raises(OutputError, match="to resume takes the path of a file"):
                client.export().write(target, resume=True)


def test_a_named_pipe_is_written_to_as_it_is(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.csv"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    with scripted_server(header(0), summary(0)) as server, ExportClient(server.address) as client:
        client.export().write(pipe)
    assert os.read(reader, 1_000) == HEADER
    os.close(reader)


class Trickle(io.RawIOBase):
    """Takes three bytes at a time, as a raw pipe may."""

    def __init__(self) -> None:
        self.taken = b""

    def write(self, data: object) -> int:
        part = bytes(memoryview(data)[:3])  # type: ignore[arg-type]
        self.taken += part
        return len(part)


def test_all_is_written_to_a_file_that_takes_a_little_at_a_time() -> None:
    trickle = Trickle()
    output = Output(trickle, "trickle")
    output.write(b"0123456789")
    output.write(pa.py_buffer(b"abc"))
    assert (trickle.taken, output.bytes_written) == (b"0123456789abc", 13)


def test_a_binary_file_is_written_to_and_left_open() -> None:
    file = io.BytesIO()
    with (
        scripted_server(header(2), batch(0, 2), summary(2)) as server,
        ExportClient(server.address) as client,
    ):
        written = client.export().write(file)
    assert file.getvalue().startswith(HEADER)
    assert (written.events, written.size_bytes) == (2, len(file.getvalue()))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.csv", ("csv", "none")),
        ("a.b.JSON", ("json", "none")),
        ("a.jsonl.gz", ("jsonl", "gzip")),
        ("a.ndjson.zst", ("jsonl", "zstd")),
        ("a.CSV.GZ", ("csv", "gzip")),
        ("a", (None, "none")),
        ("a.gz", (None, "gzip")),
        ("a.txt", (None, "none")),
        (".csv", (None, "none")),
        ("-", (None, "none")),
    ],
)
def test_the_ending_says_format_and_compression(name: str, expected: tuple[str | None, str]) -> None:
    assert read_ending(Path(name)) == expected


@pytest.mark.parametrize("name", ["a.csv.gz", "a.jsonl.zst", "a.json", "a.csv"])
def test_files_are_what_their_ending_says(tmp_path: Path, name: str) -> None:
    with (
        scripted_server(header(2), batch(0, 2), summary(2)) as server,
        ExportClient(server.address) as client,
    ):
        client.export().write(tmp_path / name)
        plain = io.BytesIO()
        client.export().write(plain, read_ending(Path(name))[0])
    # Arrow goes by the ending too.
    assert pa.input_stream(str(tmp_path / name)).read() == plain.getvalue()


def test_what_is_given_goes_before_the_ending(tmp_path: Path) -> None:
    path = tmp_path / "a.json.gz"
    with scripted_server(header(0), summary(0)) as server, ExportClient(server.address) as client:
        client.export().write(path, "csv", RenderOptions(excel=True), compression="none")
    assert path.read_bytes() == b"\xef\xbb\xbf" + HEADER.replace(b"\n", b"\r\n")
