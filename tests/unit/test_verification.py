"""A manifest proves a file whole, or says which part of it is wrong."""

import hashlib
import json
import os
from pathlib import Path

import google_crc32c
import pytest
from click.testing import CliRunner, Result

from argus_client import ExportClient
from argus_client import files as files_module
from argus_client.cli import commands
from argus_client.manifest import Checksums, Manifest, read_manifest
from argus_client.verification import verify_file
from tests.scripted import WATERMARK, batch, header, scripted_server, summary

CHUNK_BYTES = 100


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files_module, "Checksums", lambda: Checksums(CHUNK_BYTES))


def export(path: Path, rows: int = 5, rows_remaining: int = 0) -> Path:
    steps = header(rows), batch(0, rows), summary(rows, rows_remaining)
    with scripted_server(*steps) as server, ExportClient(server.address) as client:
        client.export(limit=rows if rows_remaining else None).write(path)
    return path


def run(*args: object) -> Result:
    return CliRunner().invoke(commands, ["verify", *map(str, args)])


def test_the_manifest_says_what_the_file_is(tmp_path: Path) -> None:
    path = export(tmp_path / "a.csv")
    data = path.read_bytes()
    manifest = json.loads((tmp_path / "a.csv.manifest.json").read_bytes())
    assert manifest["manifestVersion"] == 1
    assert (manifest["file"], manifest["format"], manifest["compression"]) == ("a.csv", "csv", "none")
    assert (manifest["bytes"], manifest["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())
    assert (manifest["rows"], manifest["complete"], manifest["rowsRemaining"]) == (5, True, 0)
    assert (manifest["watermark"], manifest["removedEvents"]) == (WATERMARK, 0)
    assert manifest["columns"][0] == {"name": "timestamp", "type": "timestamp_ns", "unit": "ns"}
    assert manifest["query"] == {"from": None, "to": None, "type": None}
    assert manifest["chunkCrc32c"] == [f"{google_crc32c.value(data):08x}"]


def test_a_manifest_from_before_removed_events_were_counted_is_read(tmp_path: Path) -> None:
    path = export(tmp_path / "a.csv")
    place = tmp_path / "a.csv.manifest.json"
    members = dict(read_manifest(place).members)
    del members["removedEvents"]
    place.write_bytes(Manifest(members).to_json())
    assert verify_file(path).is_whole
    assert run(path).exit_code == 0


@pytest.mark.usefixtures("small_chunks")
def test_any_byte_flipped_is_found_and_placed(tmp_path: Path) -> None:
    path = export(tmp_path / "a.csv")
    data = path.read_bytes()
    assert len(data) > 3 * CHUNK_BYTES
    for place in range(len(data)):
        path.write_bytes(data[:place] + bytes([data[place] ^ 1 << place % 8]) + data[place + 1 :])
        first = place // CHUNK_BYTES * CHUNK_BYTES
        last = min(first + CHUNK_BYTES, len(data)) - 1
        assert verify_file(path).problems == (f"bytes {first:,}–{last:,} differ",)
    path.write_bytes(data)
    assert verify_file(path).is_whole


def test_any_byte_of_the_manifest_flipped_is_found(tmp_path: Path) -> None:
    path = export(tmp_path / "a.csv")
    manifest_file = tmp_path / "a.csv.manifest.json"
    text = manifest_file.read_bytes()
    saying = json.loads(text)
    for place in range(len(text)):
        damaged = text[:place] + bytes([text[place] ^ 1 << place % 7]) + text[place + 1 :]
        manifest_file.write_bytes(damaged)
        try:
            # Other white space between its parts is no other manifest.
            unchanged = json.loads(damaged) == saying
        except ValueError:
            unchanged = False
        assert verify_file(path).is_whole is unchanged, damaged[place - 20 : place + 20]


@pytest.mark.usefixtures("small_chunks")
def test_each_wrong_part_is_named(tmp_path: Path) -> None:
    path = export(tmp_path / "a.csv")
    data = path.read_bytes()
    size = len(data)

    def problems(changed: bytes) -> tuple[str, ...]:
        path.write_bytes(changed)
        return verify_file(path).problems

    assert problems(data[:-1]) == (f"it is 1 byte too short: {size - 1:,}, not {size:,}",)
    assert problems(data + b"ab") == (f"it is 2 bytes too long: {size + 2:,}, not {size:,}",)
    assert problems(b"") == (f"it is {size:,} bytes too short: 0, not {size:,}",)
    assert problems(bytes(200) + data[200:]) == ("bytes 0–199 differ",)
    assert problems(bytes(100) + data[100:300] + b"\0" + data[301:]) == (
        "bytes 0–99 differ",
        f"bytes 300–{min(400, size) - 1} differ",
    )
    assert problems(b"\0" + data[1:-5]) == (
        "bytes 0–99 differ",
        f"it is 5 bytes too short: {size - 5:,}, not {size:,}",
    )


def test_a_manifest_must_be_one_and_for_this_file(tmp_path: Path) -> None:
    path = export(tmp_path / "a.csv")
    other = export(tmp_path / "b.csv", rows=3)
    manifest_file = tmp_path / "a.csv.manifest.json"
    assert verify_file(path, tmp_path / "b.csv.manifest.json").problems[0] == "the manifest is for b.csv"

    renamed = tmp_path / "renamed.csv"
    os.link(path, renamed)
    assert verify_file(renamed, manifest_file).is_whole
    assert "cannot be read: No such file or directory" in verify_file(renamed).problems[0]
    for text, problem in (
        ("", "is not JSON"),
        ("[]", "is not a manifest of an Argus export"),
        ("{}", "is not a manifest of an Argus export"),
        ('{"manifestVersion": 2}', "is of version 2; this program reads 1"),
        ('{"manifestVersion": 1}', "was changed after it was written"),
    ):
        manifest_file.write_text(text)
        assert problem in verify_file(path).problems[0]
    other.unlink()
    assert verify_file(other).problems == ("it is not there",)
    other.with_name("b.csv.part").touch()
    assert "b.csv.part is what there is of an export that did not finish" in verify_file(other).problems[0]


def test_the_command_says_whole_or_what_is_wrong(tmp_path: Path) -> None:
    path = export(tmp_path / "a.csv")
    exported_at = read_manifest(tmp_path / "a.csv.manifest.json")["exportedAt"]
    result = run(path)
    size = path.stat().st_size
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == f"{path} is whole: 5 events, {size} B, exported at {exported_at}\n"
    assert json.loads(run(path, "--json").stdout)["whole"] is True

    with path.open("ab") as file:
        file.write(b"x")
    result = run(path)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == (
        f"{path}: it is 1 byte too long: {size + 1}, not {size}\nError: {path} is not whole\n"
    )
    result = run(path, "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["problems"] == [f"it is 1 byte too long: {size + 1}, not {size}"]


def test_a_file_that_a_limit_cut_is_whole_and_said_to_be_cut(tmp_path: Path) -> None:
    path = export(tmp_path / "a.jsonl.gz", rows_remaining=7)
    assert "5 events" in (said := run(path).stdout)
    assert "cut by --limit: 7 more matched" in said


def test_memory_stays_flat() -> None:
    """Reads are bounded, whatever the size of a chunk."""
    asked: list[int] = []

    class Recorder:
        def seek(self, _place: int) -> None: ...

        def read(self, size: int) -> bytes:
            asked.append(size)
            return b"" if len(asked) > 3 else bytes(size)

    sums = files_module.sums_of(Recorder(), into=Checksums())  # type: ignore[arg-type]
    assert sums.size_bytes == sum(asked[:3]) < 10 << 20
