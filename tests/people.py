"""A server that asks who calls, and people of several roles who have tokens for it."""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from argus_client import ExportClient, NotAllowed, NotSignedIn
from argus_grpc.access.tokens_file import revoke_tokens
from tests.conftest import RunningServer, start_server
from tests.identities import id_of, make_token
from tests.refusals import wait_until

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
        token = make_token(self.tokens, f"{role}-{secrets.token_hex(4)}", role)
        with ExportClient(self.server.address, token=token) as client:
            wait_until(lambda: is_known(client))
        return token

    def revoke(self, token: str) -> None:
        """Takes a person's token away."""
        [_] = revoke_tokens(self.tokens, id_of(token))


def is_known(client: ExportClient) -> bool:
    """Whether the server knows whose the client's token is."""
    try:
        client.columns()
    except NotSignedIn:
        return False
    except NotAllowed:
        pass
    return True


def start_people(folder: Path, **settings: Any) -> Iterator[People]:
    """A server with these settings, where a reader is the first who has a token."""
    tokens, policy = folder / "tokens.json", folder / "policy.toml"
    policy.write_text(POLICY)
    make_token(tokens, "the first", "reader")
    for server in start_server(folder, tokens=tokens, policy=policy, **settings):
        yield People(server, tokens)
