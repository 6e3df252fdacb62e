"""A server that asks who calls, and people of several roles who have tokens for it."""

import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from argus_client import ExportClient, NotAllowed, NotSignedIn
from argus_grpc.access.tokens_file import create_token, revoke_tokens
from tests.conftest import RunningServer, start_server

POLICY = """
[roles.narrow]
rpcs = ["ListColumns", "PlanExport", "StreamEvents", "StreamAggregates"]
event_types = ["START", "END"]
redacted_columns = ["thread_name"]
forbidden_columns = ["stack_trace", "source"]
"""
"""A role that sees a part: `narrow`. The built-in ones stay: admin, reader, writer."""

WRONG = f"argus_{'0' * 16}_{'x' * 43}"
"""A token that nobody has, in the form of one."""


@dataclass(frozen=True)
class People:
    """The server, and the file of its tokens."""

    server: RunningServer
    tokens: Path

    def token(self, role: str) -> str:
        """A new person's of this role, once the server takes it."""
        token, _ = create_token(self.tokens, f"{role}-{secrets.token_hex(4)}", role, None)
        with ExportClient(self.server.address, token=token) as client:
            wait_until(lambda: is_known(client))
        return token

    def revoke(self, token: str) -> None:
        """Takes a person's token away."""
        [_] = revoke_tokens(self.tokens, token.split("_")[1])


def is_known(client: ExportClient) -> bool:
    """Whether the server knows whose the client's token is."""
    try:
        client.columns()
    except NotSignedIn:
        return False
    except NotAllowed:
        pass
    return True


def wait_until(condition: Callable[[], bool]) -> None:
    """Waits up to 20 s."""
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.05)


def start_people(folder: Path, **settings: Any) -> Iterator[People]:
    """A server with these settings, where a reader is the first who has a token."""
    tokens, policy = folder / "tokens.json", folder / "policy.toml"
    policy.write_text(POLICY)
    create_token(tokens, "the first", "reader", None)
    for server in start_server(folder, tokens=tokens, policy=policy, **settings):
        yield People(server, tokens)
