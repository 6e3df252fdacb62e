"""argus-server in processes that begin with all imported, which is most of a server's start: for tests
that kill many."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path

# What a server imports only as it starts.
import ibis.backends.sql.compilers  # noqa: F401

import argus_grpc.server  # noqa: F401
from argus_grpc.main import main
from tests.client_process import PROCESSES


@dataclass(frozen=True)
class QuickServer:
    process: ForkServerProcess
    address: str

    def stop(self, number: int = signal.SIGTERM) -> int | None:
        """Sends a signal, waits for the end and returns the exit code."""
        assert self.process.pid is not None
        os.kill(self.process.pid, number)
        self.process.join(60)
        return self.process.exitcode


@contextmanager
def quick_server(db: Path, *flags: str) -> Iterator[QuickServer]:
    """argus-server on a free port, once it is ready, with its log beside the database; killed at the end
    if it still runs."""
    said, saying = PROCESSES.Pipe(duplex=False)
    log = db.with_suffix(".log")
    arguments = ("--db", str(db), "--listen", "127.0.0.1:0", *flags)
    process = PROCESSES.Process(target=_run, args=(saying, log, *arguments))
    process.start()
    saying.close()
    try:
        with said, open(said.fileno(), closefd=False) as lines:
            words = lines.readline().split()
        if words[:4] != ["argus-server", "is", "listening", "on"]:
            process.join()
            raise AssertionError(f"the server ended before it was ready: {log.read_text()}")
        yield QuickServer(process, words[4].rstrip(","))
    finally:
        process.kill()
        process.join()


def _run(saying: Connection, log: Path, *arguments: str) -> None:
    os.dup2(saying.fileno(), 1)
    saying.close()
    with log.open("w") as file:
        os.dup2(file.fileno(), 2)
    for name in [name for name in os.environ if name.startswith("ARGUS_")]:
        del os.environ[name]
    sys.argv = ["argus-server", *arguments]
    main()
