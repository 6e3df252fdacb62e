"""A minute of hostile input, over all doors; always the same, as far as it gets."""

from pathlib import Path

import pytest

from tests.fuzz import run
from tests.fuzz.child import COUNT_BYTES
from tests.fuzz.door import door_names
from tests.fuzz.doors import _broken
from tests.fuzz.run import fuzz, replay

# Of another kind of input each; what the doors need to begin with comes on top.
SECONDS_A_DOOR = 4.0
SEED = 7


@pytest.mark.parametrize("door", door_names())
def test_nothing_is_found(door: str, tmp_path: Path) -> None:
    fuzzed = fuzz(door, SECONDS_A_DOOR, SEED, "ours", tmp_path)
    told = [f"{file}: {file.with_suffix('.txt').read_text()}" for file in fuzzed.findings]
    assert not told, "\n".join(told)
    assert fuzzed.executions


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (_broken.FAILS, "ValueError: unexpected"),
        (_broken.CRASHES, "SIGSEGV"),
        (_broken.HANGS, "hung"),
        (_broken.GROWS, "GrewTooMuch"),
        (_broken.IS_UNRAISABLE, "Unraisable"),
    ],
)
def test_what_an_input_does_is_told(
    data: bytes, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "input"
    file.write_bytes(data)
    assert replay("_broken", [str(file)]) == 1
    assert told in capsys.readouterr().out


def test_a_process_is_followed_by_another_before_its_libraries_have_grown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    processes: list[tuple[str, ...]] = []

    def run_for_no_time(folder: Path, seconds: float, *arguments: str) -> None:
        assert seconds <= 0.01
        (folder / "count").write_bytes(bytes(COUNT_BYTES))
        processes.append(arguments)

    monkeypatch.setattr(run, "_run", run_for_no_time)
    monkeypatch.setattr(run, "_PROCESS_S", 0.01)
    assert not fuzz("jfr_json", 0.5, SEED, "ours", tmp_path).findings
    assert len(processes) > 1
    assert len({seed for *_, seed, _ in processes}) == len(processes)


def test_an_input_that_is_found_is_kept_and_does_it_again(tmp_path: Path) -> None:
    fuzzed = fuzz("_broken", 3, SEED, "ours", tmp_path)
    assert fuzzed.findings
    assert replay("_broken", [str(fuzzed.findings[0])]) == 1
