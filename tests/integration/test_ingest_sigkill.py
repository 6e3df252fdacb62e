"""SIGKILL, again and again, while clients ingest and send again what was not acknowledged."""

import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.ingesting import Address, Sender, check_file
from tests.quick_server import quick_server

pytestmark = pytest.mark.duckdb

KILLS = 20
CLIENTS = 8


def test_every_acknowledged_event_is_there_once_after_twenty_kills(tmp_path: Path) -> None:
    database = tmp_path / "events.duckdb"
    address, is_over = Address(), threading.Event()
    senders = [Sender(f"client-{number}") for number in range(CLIENTS)]
    with ThreadPoolExecutor(CLIENTS) as threads:
        sending = [threads.submit(sender.send_until, is_over, address) for sender in senders]
        try:
            for kill in range(KILLS):
                with quick_server(database) as server:
                    before = sum(len(sender.acknowledged) for sender in senders)
                    address.set(server.address)
                    # Some commits later, at a moment that is another one each time.
                    while sum(len(sender.acknowledged) for sender in senders) < before + 5 + kill:
                        assert not any(client.done() for client in sending)
                        time.sleep(0.001)
                    server.stop(signal.SIGKILL)
            with quick_server(database) as server:
                address.set(server.address)
                is_over.set()
                for client in sending:
                    client.result(timeout=60)
                assert server.stop() == 0
        finally:
            is_over.set()
    assert sum(sender.sent_again for sender in senders) >= KILLS
    check_file(database, senders)
