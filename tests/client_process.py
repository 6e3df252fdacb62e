"""argus-client in processes that begin with all imported, which is most of a client's start."""

import multiprocessing
import os
import sys
from multiprocessing.context import ForkServerProcess

from argus_client import checkpointing
from argus_client.cli import main
from argus_client.formats import groups

PROCESSES = multiprocessing.get_context("forkserver")
# These modules alone: the tests' own imports would take longer than the client's.
PROCESSES.set_forkserver_preload([__name__, "tests.quick_server"])


def start_client(
    *arguments: str, checkpoint_interval_s: float, max_group_rows: int = groups.MAX_GROUP_ROWS
) -> ForkServerProcess:
    """argus-client with these arguments, under way."""
    process = PROCESSES.Process(target=_run, args=(checkpoint_interval_s, max_group_rows, *arguments))
    process.start()
    return process


def _run(checkpoint_interval_s: float, max_group_rows: int, *arguments: str) -> None:
    checkpointing.CHECKPOINT_INTERVAL_S = checkpoint_interval_s
    groups.MAX_GROUP_ROWS = max_group_rows
    for name in [name for name in os.environ if name.startswith("ARGUS_")]:
        del os.environ[name]
    sys.argv = ["argus-client", *arguments]
    main()
