"""Who calls."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Principal:
    """A caller, as far as the server has made sure of it.

    name: unique in its kind; what audit and log show, and resume tokens are bound to.
    kind: by what it was told.
    role: the name of its role in the policy.
    expires_s: until when this holds, in seconds since the Unix epoch; None: without an end.
    """

    name: str
    kind: Literal["anonymous", "token", "certificate", "jwt"]
    role: str
    expires_s: float | None = None


ANONYMOUS = Principal("anonymous", "anonymous", "unrestricted")
"""Everyone, where no identity is asked for."""
