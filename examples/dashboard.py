"""The dashboard on a real recording: what `make dashboard` does.

Starts a server and a dashboard on free ports, ingests a Flight Recorder file, prints the address, and
stays until Ctrl-C or SIGTERM, which end both; exit code 0 then.
"""

import os
import signal
import sys
import tempfile
from pathlib import Path

from examples.programs import PROJECT, RECORDING, client, running, say


def main() -> None:
    os.chdir(PROJECT)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        _serve()
    except KeyboardInterrupt:
        say("Stopped the dashboard and the server; what was in them is gone.")


def _serve() -> None:
    with tempfile.TemporaryDirectory() as folder:
        say("Starting a server and a dashboard on free ports")
        with (
            running("argus-server", "--db", str(Path(folder, "events.duckdb"))) as server,
            running("argus-dashboard", "--server", server.address) as dashboard,
        ):
            client(server.address, "ingest", str(RECORDING), "--source", "load@laptop")
            say(_WHAT_TO_TRY.format(address=dashboard.address))
            dashboard.process.wait()
            sys.exit("argus-dashboard has ended by itself")


_WHAT_TO_TRY = """\
Open {address}

  Tick PINNED, or drag over a stretch of the chart: figures, charts, table and the address follow.
  A row's button shows the stack of its event.
  Export… downloads CSV, JSON, JSON Lines or Parquet, and has the same export as a command line
  (. .venv/bin/activate), for curl and for Python.
  Any tool that speaks HTTP can export, too:
    curl -O -J '{address}/export?type=PINNED&format=csv'

Ctrl-C stops both."""

if __name__ == "__main__":
    main()
