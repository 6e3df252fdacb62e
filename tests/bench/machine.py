"""Where the figures come from: the machine and the versions."""

import os
import platform
from importlib.metadata import version
from pathlib import Path

import psutil


def describe_machine() -> dict[str, str]:
    """What bears on speed, by name."""
    memory_gib = psutil.virtual_memory().total / 2**30
    load = ", ".join(f"{average:.2f}" for average in os.getloadavg())
    packages = ", ".join(f"{name} {version(name)}" for name in ("duckdb", "pyarrow", "grpcio", "protobuf"))
    return {
        "machine": f"{os.cpu_count()} cores, {memory_gib:.1f} GiB, {_cpu_model()}, {platform.platform(terse=True)}",
        "load before": f"{load} (1, 5, 15 minutes)",
        "versions": f"Python {platform.python_version()}, {packages}",
    }


def _cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    for line in info.read_text().splitlines() if info.exists() else ():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
