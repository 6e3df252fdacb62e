"""What a role lets its principals do."""

from dataclasses import dataclass, field
from datetime import timedelta

from argus_grpc.v1.event_pb2 import EventType

MAX_SOURCE_PREFIXES = 100
"""How many beginnings of sources a role or a query names at most. Each takes a millisecond to compile."""


@dataclass(frozen=True)
class RoleLimits:
    """How much each principal of a role may have. Each 1 or more; None: without a limit of
    its own."""

    requests_per_minute: int | None = None
    concurrent_exports: int | None = None
    rows_per_hour: int | None = None


@dataclass(frozen=True)
class Role:
    """None: no restriction.

    rpcs: names of methods, such as StreamEvents.
    sources: names of sources; one with * at its end stands for all that begin so.
    forbidden_columns: as if there were no such columns.
    redacted_columns: NULL, and told to be.
    max_age: how far back in time events may lie, by their timestamps.
    """

    name: str
    rpcs: frozenset[str] | None = None
    sources: tuple[str, ...] | None = None
    event_types: "frozenset[EventType.ValueType] | None" = None
    forbidden_columns: frozenset[str] = frozenset()
    redacted_columns: frozenset[str] = frozenset()
    max_age: timedelta | None = None
    limits: RoleLimits = field(default_factory=RoleLimits)


UNRESTRICTED = Role("unrestricted")

NOTHING = Role("nothing", rpcs=frozenset(), sources=(), event_types=frozenset())
"""What a call may do before it is known who calls."""
