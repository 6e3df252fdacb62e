"""The main job, start to end, on a real recording: what `make run` does.

Starts a server on a free port, ingests a Flight Recorder file, exports its events as CSV, JSON and
JSON Lines under out/, shows the first lines, and stops the server.
"""

import os
import tempfile
from itertools import islice
from pathlib import Path

from examples.programs import PROJECT, RECORDING, client, running, say

OUT = Path("out")
SHOWN_LINES = 4
SHOWN_CHARS = 150


def main() -> None:
    os.chdir(PROJECT)
    OUT.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        say("Starting a server on a free port")
        with running("argus-server", "--db", str(Path(folder, "events.duckdb"))) as server:
            _run_main_job(server.address)
    say("Stopped the server. To go on:")
    print(_NEXT_STEPS)


def _run_main_job(address: str) -> None:
    client(address, "ingest", str(RECORDING), "--source", "load@laptop")
    for file in ("events.csv", "events.json", "pinned.jsonl"):
        only_pinned = ["--type", "PINNED", "--columns", "all"] if file.startswith("pinned") else []
        client(address, "export", *only_pinned, "--overwrite", "-o", str(OUT / file))
        with (OUT / file).open(encoding="utf-8") as lines:
            for line in islice(lines, SHOWN_LINES):
                text = line.rstrip("\n")
                print(f"  {text[:SHOWN_CHARS]}{'…' if len(text) > SHOWN_CHARS else ''}")


_NEXT_STEPS = """
  make dashboard                                     # the same recording in the browser, until Ctrl-C

  . .venv/bin/activate
  argus-server &                                     # keeps events in your data folder, port 50051
  argus-client ingest tests/data/vt21.jfr            # or any recording of yours
  argus-client plan --type PINNED                    # how many, how large, from when to when
  argus-client export --type PINNED --min-duration 10ms --columns all -o pinned.csv
  argus-client collect ws://localhost:9202/events    # the events of a running Argus server, as they happen
  argus-client export --follow --type PINNED         # what comes in, until Ctrl-C
  argus-client export --help
"""

if __name__ == "__main__":
    main()
