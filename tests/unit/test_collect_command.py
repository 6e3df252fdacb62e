"""`argus-client collect` without any of its peers: what it takes and what it says."""

from pathlib import Path

import pytest

from argus_client.cli.collect import default_spool, parse_bytes
from argus_client.collect.argus_socket import check_url, host_and_port
from argus_client.collect.counts import Counts, report, status_line
from argus_client.collect.spool import Spool


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("1048576", 1 << 20),
        ("256MiB", 256 << 20),
        ("256 mib", 256 << 20),
        ("1GB", 10**9),
        ("1.5kB", 1500),
        ("2G", 2 << 30),
        ("7B", 7),
    ],
)
def test_sizes(text: str, size_bytes: int) -> None:
    assert parse_bytes(text) == size_bytes


@pytest.mark.parametrize("text", ["", "MiB", "-1", "1e9", "1 XB", "1,5GB"])
def test_not_sizes(text: str) -> None:
    with pytest.raises(ValueError, match="is not a number of bytes; write 256MiB"):
        parse_bytes(text)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("ws://orders:9202/events", "orders:9202"),
        ("ws://Orders/events", "orders:80"),
        ("wss://user@orders/events?a=b", "orders:443"),
        ("ws://[::1]:9202/events", "[::1]:9202"),
    ],
)
def test_what_a_url_names(url: str, name: str) -> None:
    assert host_and_port(check_url(url)) == name


def test_every_url_has_a_spool_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    urls = ["ws://a:1/events", "ws://a:1/events2", "wss://a:1/events", "ws://a-1/events"]
    folders = [default_spool(url) for url in urls]
    assert len(set(folders)) == len(urls)
    assert folders[0].parent == tmp_path / "argus-export" / "spool"
    assert folders[0].name.startswith("ws-a-1-events-")


def test_what_is_said(tmp_path: Path) -> None:
    counts = Counts(messages=1_010, events=1_000, repeated=4, state_updates=3, gaps=2, stored=990)
    for what in ("not JSON", "binary", "not JSON"):
        counts.add_oddity(what)
    with Spool(tmp_path, 1 << 20, print) as spool:
        assert status_line(counts, spool) == "1,000 received, 990 stored, 0 waiting, 3 odd"
        spool.waiting, spool.dropped, spool.set_aside = 7, 2, 1
        assert status_line(counts, spool) == (
            "1,000 received, 990 stored, 7 waiting, 2 dropped, 1 refused, 3 odd"
        )
        assert list(report(counts, spool)) == [
            "Received 1,000 events in 1,010 messages; 4 repeated, 3 thread state updates, 3 odd.",
            "           2  not JSON",
            "           1  binary",
            f"Stored 990 events; 7 wait in {tmp_path}.",
            "Dropped 2 events for want of space in the spool.",
            f"Set aside 1 event that the server refused: {tmp_path}/refused-*.jsonl.",
            "Events may be missing: after an outage, nothing that came was known (2 times).",
        ]


def test_names_of_oddities_do_not_fill_the_memory() -> None:
    counts = Counts()
    for number in range(1_000):
        counts.add_oddity(f"unknown type {number}")
    assert len(counts.oddities) == 101
    assert counts.oddities["other"] == 900
