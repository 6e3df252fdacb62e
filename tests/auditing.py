"""The audit log as a reader sees it."""

import json
import time
from pathlib import Path
from typing import Any

import jsonschema_rs

_SCHEMA = Path(__file__).parents[1] / "docs" / "audit-record.schema.json"
_VALIDATOR = jsonschema_rs.validator_for(json.loads(_SCHEMA.read_text()))


def records(file: Path) -> list[dict[str, Any]]:
    """Every line of the log, each checked against its schema."""
    found = [json.loads(line) for line in file.read_text().splitlines()]
    for record in found:
        _VALIDATOR.validate(record)
    return found


def wait_for_records(file: Path, count: int) -> list[dict[str, Any]]:
    """All records, once there are so many; the log is written by a thread of its own."""
    deadline_s = time.monotonic() + 30
    while len(lines := file.read_text().splitlines()) < count:
        assert time.monotonic() < deadline_s, f"{len(lines)} records, not {count}: {lines[-3:]}"
        time.sleep(0.01)
    return records(file)
