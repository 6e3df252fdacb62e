"""Where the figures come from: the machine and the versions."""

import os
import platform
from importlib.metadata import version
from pathlib import Path

import psutil


def describe_machine() -> dict[str, str]:
    """What bears on speed, by name."""
    system = platform.platform(terse=True)
    memory_gib = psutil.virtual_memory().total / 2**30
    packages = ", ".join(f"{name} {version(name)}" for name in ("duckdb", "pyarrow", "grpcio", "protobuf"))
    return {
        "machine": f"{os.cpu_count()} cores, {memory_gib:.1f} GiB, {_cpu_model()}, {system}",
        "load before": describe_load(),
        "versions": f"Python {platform.python_version()}, {packages}",
    }


def describe_load() -> str:
    """How many tasks wanted a core, on average."""
    return ", ".join(f"{average:.2f}" for average in os.getloadavg()) + " (1, 5, 15 minutes)"


def _cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    for line in info.read_text().splitlines() if info.exists() else ():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
