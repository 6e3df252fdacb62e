"""`python -m tests.bench.plain_server DATABASE`: argus-server, but its row messages are built one by
one, the plain way.

It writes its address on standard output once it serves, and is there to be killed.
"""

import sys
import threading
from pathlib import Path
from unittest.mock import patch

import pyarrow as pa

from argus_grpc.config import Config
from argus_grpc.server import Server
from tests.plain_messages import plain_messages


def _build_plainly(events: pa.RecordBatch) -> bytes:
    return plain_messages(events).SerializeToString()


# As argus-server has it.
pa.set_memory_pool(pa.system_memory_pool())
with (
    patch("argus_grpc.encode.batch.to_row_messages", _build_plainly),
    Server(Config(db=Path(sys.argv[1]), listen="127.0.0.1:0")) as server,
):
    print(server.address, flush=True)
    threading.Event().wait()
