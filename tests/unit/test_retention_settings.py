"""What is kept, as it is set: by flags, environment and file, and what is refused."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from argus_grpc.config import load_config
from argus_grpc.durations import parse_duration
from tests.processes import run_server


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1s", timedelta(seconds=1)),
        ("90s", timedelta(seconds=90)),
        ("15m", timedelta(minutes=15)),
        ("12h", timedelta(hours=12)),
        ("7d", timedelta(days=7)),
        ("4w", timedelta(weeks=4)),
        ("5200w", timedelta(weeks=5200)),
    ],
)
def test_a_retention_is_a_number_and_a_unit(text: str, expected: timedelta) -> None:
    assert parse_duration(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", "7", "d", "7 d", "7D", "-7d", "0s", "1.5h", "7d12h", "5201w", "\u0667d", "99999999999999w", 7],
)
def test_other_retentions_are_refused(text: object) -> None:
    with pytest.raises(ValidationError) as refusal:
        load_config({"retention": text}, None)
    (mistake,) = refusal.value.errors()
    assert mistake["loc"] == ("retention",)
    assert "such as 7d; from 1s to 5200w is allowed" in mistake["msg"]


def test_settings_come_from_environment_and_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARGUS_RETENTION", "7d")
    (tmp_path / "argus.toml").write_text('max_database_bytes = "20GB"')
    config = load_config({}, tmp_path / "argus.toml")
    assert (config.retention, config.max_database_bytes) == (timedelta(days=7), 20_000_000_000)
    assert load_config({}, None).max_database_bytes is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_database_bytes": "255MiB"}, "greater than or equal to 268435456"),
        ({"no_persistence": True, "db": "x.duckdb"}, "db: is about a database file, and there is none with"),
        ({"no_persistence": True, "retention": "7d"}, "retention: is about a database file"),
        ({"no_persistence": True, "max_database_bytes": "1GB"}, "max_database_bytes: is about a database"),
        ({"buffer_events": 1000}, "buffer_events: is about events in memory, which needs --no-persistence"),
        ({"no_persistence": True, "buffer_events": 0}, "greater than or equal to 1"),
        ({"no_persistence": True, "buffer_events": 10_000_001}, "less than or equal to 10000000"),
    ],
)
def test_what_does_not_go_together_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        load_config(settings, None)


def test_the_server_says_so_and_does_not_start(tmp_path: Path) -> None:
    refused = run_server("--no-persistence", "--db", str(tmp_path / "events.duckdb"))
    assert refused.returncode == 2
    assert "--buffer-events says how many events are kept" in refused.stderr
    refused = run_server("--retention", "a week", environment={"ARGUS_DB": str(tmp_path / "events.duckdb")})
    assert refused.returncode == 2
    assert "retention: a whole number and a unit" in refused.stderr
    assert "not 'a week'" in refused.stderr
    assert not (tmp_path / "events.duckdb").exists()
