"""Which JVM a recording is from, as the JVM's own events say."""

from collections.abc import Iterable, Mapping
from typing import Any

JVM = "jdk.JVMInformation"
ENVIRONMENT = "jdk.InitialEnvironmentVariable"

# A JVM says its host's name nowhere else. The first is of Linux and its containers, the other of Windows.
_HOST_VARIABLES = ("HOSTNAME", "COMPUTERNAME")


def source_of_jvm(events: Iterable[Mapping[str, Any]]) -> str | None:
    """The source, such as "orders@host-7:4711": program, host and process id; without the program where
    that is not known. None: the events, of types JVM and ENVIRONMENT, do not say host and process id, or
    those of several JVMs.
    """
    processes: dict[int, str] = {}
    hosts: set[str] = set()
    for event in events:
        values = event["values"]
        if event["type"] == JVM and isinstance(values.get("pid"), int):
            processes[values["pid"]] = _program(values.get("javaArguments") or "")
        elif event["type"] == ENVIRONMENT and values.get("key") in _HOST_VARIABLES and values.get("value"):
            hosts.add(values["value"])
    if len(processes) != 1 or len(hosts) != 1:
        return None
    ((pid, program),) = processes.items()
    (host,) = hosts
    return f"{program}@{host}:{pid}" if program else f"{host}:{pid}"


def _program(arguments: str) -> str:
    """The main class without its packages, or the JAR file's name without its ending."""
    first, _, _ = arguments.strip().partition(" ")
    name = first.replace("\\", "/").rpartition("/")[2]
    for ending in (".jar", ".war"):
        if name.endswith(ending):
            return name.removesuffix(ending)
    return name.rpartition(".")[2]
