"""The audit log under a flood of refusals, and of large queries: it stays small, and open to others."""

import json
import threading
from hashlib import sha256
from pathlib import Path

import pytest
from google.protobuf.json_format import MessageToDict

from argus_grpc.access import UNRESTRICTED
from argus_grpc.audit import AuditLog, log
from argus_grpc.audit.record import Moment, to_record
from argus_grpc.audit.refusals import MAX_HOSTS, RATE, TOLD_AFTER_S, Refusals, host_of
from argus_grpc.calls import Call, ExportFacts
from argus_grpc.errors import InvalidField, NotAuthenticated
from argus_grpc.v1.query_pb2 import EventQuery
from tests.auditing import records

METHOD = "/argus_grpc.v1.ExportService/PlanExport"
PEER = "ipv4:10.0.0.1:40000"


class Clock:
    now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


def call(peer: str = PEER, error: Exception | None = None) -> Call:
    return Call("0123456789abcdef", METHOD, peer, 0.0, role=UNRESTRICTED, error=error)


@pytest.mark.parametrize(
    ("peer", "host"),
    [
        (PEER, "ipv4:10.0.0.1"),
        ("ipv6:%5B2001:db8:1:2:3:4:5:6%5D:40000", "ipv6:2001:db8:1:2::/64"),
        ("ipv6:[::1]:40000", "ipv6:::/64"),
        ("ipv6:%5Bfe80::1%25eth0%5D:7", "ipv6:fe80::/64"),
        ("unix:", "unix"),
        ("unknown", "unknown"),
    ],
)
def test_a_host_has_no_port(peer: str, host: str) -> None:
    assert host_of(peer) == host


def test_a_host_has_ten_at_once_and_one_a_second_and_the_rest_are_counted() -> None:
    clock = Clock()
    refusals = Refusals(clock)
    codes = ["UNAUTHENTICATED", "RESOURCE_EXHAUSTED"]
    told = [refusals.is_recorded(f"ipv4:10.0.0.1:{port}", codes[port % 2]) for port in range(100)]
    assert told == [True] * int(RATE.burst) + [False] * 90
    assert refusals.is_recorded("ipv4:10.0.0.2:1", "UNAUTHENTICATED")
    assert refusals.is_recorded(PEER, "PERMISSION_DENIED")
    clock.now_s += 1
    assert [refusals.is_recorded(PEER, "UNAUTHENTICATED") for _ in range(2)] == [True, False]
    assert refusals.take_suppressed(is_last=False) == []
    clock.now_s += TOLD_AFTER_S - 1
    assert refusals.take_suppressed(is_last=False) == [("ipv4:10.0.0.1", 91)]
    assert refusals.take_suppressed(is_last=True) == []


def test_hosts_are_so_many_at_most_and_those_that_are_quiet_are_forgotten() -> None:
    clock = Clock()
    refusals = Refusals(clock)
    for host in range(MAX_HOSTS):
        assert refusals.is_recorded(f"ipv4:{host}:1", "UNAUTHENTICATED")
    others = [refusals.is_recorded(f"ipv4:other-{host}:1", "UNAUTHENTICATED") for host in range(100)]
    assert sum(others) == RATE.burst
    assert refusals.take_suppressed(is_last=True) == [("others", 90)]
    clock.now_s += 60
    assert all(refusals.is_recorded("ipv4:other-1:1", "UNAUTHENTICATED") for _ in range(int(RATE.burst)))
    assert refusals.is_recorded("ipv4:other-2:1", "UNAUTHENTICATED")


def test_strangers_leave_few_records_and_how_many_they_were(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    audit = AuditLog(path)
    for _ in range(1_000):
        audit.ended(call(error=NotAuthenticated("credentials are missing")), "UNAUTHENTICATED")
    audit.ended(call(error=InvalidField("columns", "x", "y")), "INVALID_ARGUMENT")
    audit.close()
    found = records(path)
    refused = [record for record in found if record.get("code") == "UNAUTHENTICATED"]
    suppressed = [record for record in found if record["kind"] == "suppressed"]
    assert len(refused) + sum(record["records"] for record in suppressed) == 1_000
    assert len(refused) < 100
    assert {record["peer"] for record in suppressed} == {"ipv4:10.0.0.1"}
    assert [record["reason"] for record in found if record.get("code") == "INVALID_ARGUMENT"] == [
        "INVALID_FIELD"
    ]


def test_refusals_that_wait_keep_nobody_else_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "audit.jsonl"
    monkeypatch.setattr(log, "MAX_WAITING", 400)
    monkeypatch.setattr(log, "MAX_WAITING_REFUSALS", 100)
    audit = AuditLog(path)
    is_free = threading.Event()
    append = audit._file.append

    def slow(lines: object) -> None:
        is_free.wait(60)
        append(lines)  # type: ignore[arg-type]

    monkeypatch.setattr(audit._file, "append", slow)
    try:
        refused = call(error=InvalidField("columns", "x", "y"))
        for _ in range(2 * log.MAX_WAITING):
            audit.ended(refused, "INVALID_ARGUMENT")
        audit.check()
        assert audit.waiting <= 2 * log.MAX_WAITING_REFUSALS
        for _ in range(log.MAX_WAITING // 4):
            audit.ended(call(), "OK")
        audit.check()
        for _ in range(log.MAX_WAITING):
            audit.ended(call(), "OK")
        assert audit.is_failing
    finally:
        is_free.set()
        audit.close()
    found = records(path)
    assert sum(record.get("code") == "OK" for record in found) >= log.MAX_WAITING - 1
    assert sum(record["records"] for record in found if record["kind"] == "lost") > log.MAX_WAITING


def test_of_a_query_that_is_large_there_are_size_and_hash() -> None:
    for count, is_whole in ((1, True), (1_000, False)):
        query = EventQuery(sources=["\U0001f600" * 1_000] * count)
        facts = ExportFacts("", query, ("sequence",), ())
        begun = call()
        begun.export = facts
        record = to_record(begun, None, Moment.now())
        assert record is not None
        text = json.dumps(MessageToDict(query), separators=(",", ":")).encode()
        if is_whole:
            assert record["query"] == MessageToDict(query)
            assert "queryBytes" not in record
        else:
            assert "query" not in record
            assert (record["queryBytes"], record["querySha256"]) == (len(text), sha256(text).hexdigest())
            assert len(json.dumps(record)) < 2_000
