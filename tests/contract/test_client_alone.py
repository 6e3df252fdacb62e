"""The client without the server: what it loads, in a Python of its own."""

import subprocess
import sys

# What the [server] extra brings and a client installs without, but for grpc_health and grpc_reflection,
# which grpc itself loads where they are installed.
SERVER_ONLY = {"duckdb", "ibis", "platformdirs", "pydantic", "pydantic_settings", "structlog"}
LOAD = """
import pkgutil, sys, argus_client
for module in pkgutil.walk_packages(argus_client.__path__, "argus_client."):
    if module.name != "argus_client.__main__":
        __import__(module.name)
print(*sys.modules, sep="\\n")
"""


def test_loads_of_the_server_only_the_contract_and_nothing_that_only_the_server_needs() -> None:
    loaded = subprocess.run([sys.executable, "-c", LOAD], capture_output=True, text=True, check=True)
    modules = loaded.stdout.split()
    assert "argus_client.cli" in modules
    assert {name.split(".")[0] for name in modules} & SERVER_ONLY == set()
    of_the_server = {name for name in modules if name.split(".")[0] == "argus_grpc"}
    assert {name for name in of_the_server if not name.startswith("argus_grpc.v1.")} == {
        "argus_grpc",
        "argus_grpc.v1",
    }
