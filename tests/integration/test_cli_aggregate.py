"""`argus-client aggregate` against a real server."""

import csv
import hashlib
import io
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from argus_client.cli import commands
from argus_grpc.v1.event_pb2 import Event, EventType
from tests.conftest import RunningServer

MINUTE_NS = 60 * 10**9
STACK = "a(A.java:1)\nb(B.java:2)"


@pytest.fixture(scope="module")
def seeded(shared_server: RunningServer) -> RunningServer:
    shared_server.ingest(
        [
            Event(
                timestamp=1_704_067_200_000_000_000 + i * MINUTE_NS // 2,
                event_type=EventType.EVENT_TYPE_VIRTUAL_THREAD_PINNED,
                source="s",
                thread_name="=name" if i else None,
                duration_ns=i * 1000,
                stack_trace=STACK if i % 2 else None,
            )
            for i in range(4)
        ]
    )
    return shared_server


def run(server: RunningServer, *args: object, **env: str) -> Result:
    return CliRunner().invoke(commands, ["aggregate", *map(str, args), "--server", server.address], env=env)


def test_the_csv_to_the_letter(seeded: RunningServer) -> None:
    result = run(
        seeded, "--by", "time:1m", "--by", "event_type", "--measure", "count", "--measure", "p99:duration_ns"
    )
    assert (result.exit_code, result.stdout) == (
        0,
        "time,event_type,count,p99_duration_ns\n"
        "2024-01-01T00:00:00Z,VIRTUAL_THREAD_PINNED,2,1000\n"
        "2024-01-01T00:01:00Z,VIRTUAL_THREAD_PINNED,2,3000\n",
    )
    assert result.stderr == f"2 groups, {len(result.stdout)} B\n"


def test_without_keys_and_measures_it_counts(seeded: RunningServer) -> None:
    assert run(seeded).stdout == "count\n4\n"
    assert run(seeded, "--min-duration", "1us").stdout == "count\n3\n"
    assert run(seeded, ARGUS_BY="stack,thread_name", ARGUS_MEASURE="count").stdout.startswith(
        "stack,stack_example,thread_name,count\n"
    )


def test_the_json_has_what_it_is_and_the_groups(seeded: RunningServer) -> None:
    result = run(seeded, "--by", "stack", "--measure", "max:duration_ns,count", "--format", "json")
    document = json.loads(result.stdout)
    assert list(document) == [
        "exportedAt",
        "query",
        "totalEvents",
        "groupBy",
        "measures",
        "totalGroups",
        "events",
    ]
    assert (document["totalEvents"], document["totalGroups"]) == (4, 2)
    assert (document["groupBy"], document["measures"]) == (["stack"], ["max:duration_ns", "count"])
    fingerprint = hashlib.md5(STACK.encode()).hexdigest()[:16]  # noqa: S324 - no secret
    assert document["events"] == [
        {"stack": fingerprint, "stackExample": STACK, "maxDurationNs": 3000, "count": 2},
        {"maxDurationNs": 2000, "count": 2},
    ]


def test_titles_metadata_and_the_guard_are_those_of_exports(seeded: RunningServer) -> None:
    result = run(
        seeded, "--by", "thread_name", "--measure", "avg:duration_ns", "--excel", "--header", "titles"
    )
    rows = list(csv.reader(io.StringIO(result.stdout.removeprefix("\ufeff"))))
    assert rows == [["Thread name", "Avg of Duration (ns)"], ["'=name", "2000"], ["", "0"]]
    result = run(seeded, "--by", "time:1h", "--metadata")
    assert "# group_by: time:1h\n# measures: count\n" in result.stdout
    assert "# total_events: 4\n# total_groups: 1\n" in result.stdout


def test_a_file_that_a_limit_cuts_is_whole_and_says_so(seeded: RunningServer, tmp_path: Path) -> None:
    path = tmp_path / "groups.csv.gz"
    result = run(seeded, "--by", "time:30s", "--limit", 3, "-o", path)
    assert result.exit_code == 3
    assert result.stderr.startswith("3 groups, ")
    assert result.stderr.endswith("cut by --limit: 1 more match\n")
    verified = CliRunner().invoke(commands, ["verify", str(path)])
    assert verified.exit_code == 0
    assert f"{path} is whole: 3 groups, " in verified.stdout
    again = run(seeded, "--by", "time:30s", "--limit", 3, "-o", path, "--resume")
    assert (again.exit_code, again.stderr.splitlines()[0]) == (3, f"{path} is whole already")
    other = run(seeded, "--by", "time:15s", "--limit", 3, "-o", path, "--resume")
    assert other.exit_code == 2
    assert f"--by: time:15s, but the export that is whole in {path} has time:30s" in other.stderr


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["--by", "time"], "Invalid value for '--by': 'time' needs a width: time:1m"),
        (["--by", "time:0s"], "--by: 0 is not allowed; allowed: 1 ns or more"),
        (
            ["--by", "tread_name"],
            "--by: 'tread_name' is not allowed; allowed: event_type, source, thread_name",
        ),
        (["--by", "stack,stack"], "--by: 'stack' is not allowed; allowed: each at most once"),
        (["--measure", "p98:x"], "Invalid value for '--measure': 'p98:x' is not a measure; write count, or"),
        (["--measure", "p99:thread_id"], "--measure: 'thread_id' is not allowed; allowed: duration_ns, heap"),
        (["--limit", "0"], "--limit': 0 is not allowed; allowed: 1 or more"),
        (["--format", "json", "--excel"], "--excel: json does not have it"),
        (["--resume"], "--resume needs a file to go on with"),
        (["--follow"], "No such option"),
    ],
)
def test_wrong_use_is_told_in_the_flags_of_the_command_line(
    seeded: RunningServer, args: list[str], told: str
) -> None:
    result = run(seeded, *args)
    assert (result.exit_code, result.stdout) == (2, "")
    assert told in result.stderr
