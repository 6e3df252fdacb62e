"""What a role comes to, in plain words."""

from collections.abc import Collection, Iterator

from argus_grpc.access.policy import HIDEABLE_COLUMNS, RPCS
from argus_grpc.access.role import Role, RoleLimits
from argus_grpc.columns import EVENT_TYPE_NAMES
from argus_grpc.durations import format_duration


def explain(role: Role) -> Iterator[tuple[str, str]]:
    """What a role allows, one subject after the other."""
    yield "May call", _rpcs(role)
    yield "Sources", "all" if role.sources is None else _sources(role.sources)
    types = role.event_types
    yield "Event types", "all" if types is None else _listed(EVENT_TYPE_NAMES[code] for code in sorted(types))
    yield "Columns", _columns(role)
    yield "Back in time", _reach(role)
    yield "Limits", _limits(role.limits)


def _rpcs(role: Role) -> str:
    if role.rpcs is None:
        return "everything"
    denied = [rpc for rpc in RPCS if rpc not in role.rpcs]
    allowed = _listed(rpc for rpc in RPCS if rpc in role.rpcs)
    return f"{allowed}; not {', '.join(denied)}" if denied and role.rpcs else allowed


def _sources(sources: Collection[str]) -> str:
    return _listed(
        f"all that begin with {source[:-1]}" if source.endswith("*") else source for source in sources
    )


def _columns(role: Role) -> str:
    told = []
    if role.forbidden_columns:
        told.append(f"without {_in_order(role.forbidden_columns)}")
    if role.redacted_columns:
        told.append(f"{_in_order(role.redacted_columns)} as NULL, listed as redacted")
    if not told:
        return "all"
    return f"{'; '.join(told)}; no filters, keys and measures over these"


def _reach(role: Role) -> str:
    if role.max_age is None:
        return "to the first event"
    return f"{format_duration(role.max_age)} before each call, by the events' timestamps"


def _limits(limits: RoleLimits) -> str:
    told = {
        "requests a minute": limits.requests_per_minute,
        "exports at once": limits.concurrent_exports,
        "rows an hour": limits.rows_per_hour,
    }
    given = [f"{value:,} {of_what}" for of_what, value in told.items() if value is not None]
    return f"for each caller {', '.join(given)}" if given else "those of the server alone"


def _in_order(columns: Collection[str]) -> str:
    return ", ".join(name for name in HIDEABLE_COLUMNS if name in columns)


def _listed(names: Iterator[str]) -> str:
    return ", ".join(names) or "nothing"
