"""`python -m tests.bench.peak MODULE ARGUMENT…`: runs a module as a program, then prints the peak of
this process's resident memory in bytes; null where there is no /proc.

A child's ru_maxrss begins at its parent's, so it is for the process itself to tell.
"""

import runpy
import sys

sys.argv.pop(0)
try:
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
except SystemExit as end:
    if end.code:
        raise

# Only now: the module is measured from its start.
from pathlib import Path  # noqa: E402

from tests.processes import peak_bytes  # noqa: E402

print(peak_bytes(Path("/proc/self/status")) if sys.platform == "linux" else "null")
