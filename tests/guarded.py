"""A server that knows callers by their tokens, and goes by a policy that tests change."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from argus_grpc.access.policy import load_policy
from argus_grpc.v1.event_pb2 import Event, Events
from argus_grpc.v1.export_pb2 import StreamEventsRequest, StreamEventsResponse
from argus_grpc.v1.ingest_pb2 import IngestEventsRequest, IngestEventsResponse
from tests.conftest import RunningServer, start_server
from tests.identities import bearer, make_token
from tests.policies import RoleTable, write_policy

EVERYTHING: RoleTable = {"rpcs": "all", "forbidden_columns": [], "redacted_columns": []}
Metadata = tuple[tuple[str, str], ...]


@dataclass
class Guarded:
    """A server that knows callers by their tokens, and the policy it goes by."""

    running: RunningServer
    policy: Path
    tokens: dict[str, str]

    def apply(self, **tables: RoleTable) -> None:
        """Puts a policy in force, at once."""
        write_policy(self.policy, tables)
        version = load_policy(self.policy).version
        authenticator = self.running.server._entrance.authenticator
        while authenticator.policy.version != version:
            authenticator.look()

    def as_(self, name: str) -> Metadata:
        return bearer(self.tokens[name])

    def ingest(self, name: str, events: Iterable[Event], **fields: Any) -> IngestEventsResponse:
        request = IngestEventsRequest(rows=Events(events=events), **fields)
        return self.running.ingests.IngestEvents(request, metadata=self.as_(name))

    def stream(self, name: str, request: StreamEventsRequest) -> list[StreamEventsResponse]:
        return list(self.running.exports.StreamEvents(request, metadata=self.as_(name)))


def guarded_server(folder: Path) -> Iterator[Guarded]:
    """With an empty store. Of its callers, alice and bob have the role some, which may do everything until a
    policy says else, and root has the role admin."""
    policy, tokens = folder / "policy.toml", folder / "tokens.json"
    write_policy(policy, {"some": EVERYTHING})
    made = {
        name: make_token(tokens, name, role)
        for name, role in (("alice", "some"), ("bob", "some"), ("root", "admin"))
    }
    for running in start_server(folder, policy=policy, tokens=tokens):
        yield Guarded(running, policy, made)
