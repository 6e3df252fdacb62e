"""A server that asks who calls, and people of several roles who have tokens for it."""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

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
        """A new person's of this role."""
        return create_token(self.tokens, f"{role}-{secrets.token_hex(4)}", role, None)[0]

    def revoke(self, token: str) -> None:
        """Takes a person's token away."""
        [_] = revoke_tokens(self.tokens, token.split("_")[1])


def start_people(folder: Path, **settings: Any) -> Iterator[People]:
    """A server with these settings; tokens that are made later are taken a moment later."""
    tokens, policy = folder / "tokens.json", folder / "policy.toml"
    policy.write_text(POLICY)
    create_token(tokens, "the first", "admin", timedelta(days=1))
    for server in start_server(folder, tokens=tokens, policy=policy, **settings):
        yield People(server, tokens)
