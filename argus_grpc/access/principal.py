"""Who calls."""

import time
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class Principal:
    """A caller, as far as the server has made sure of it.

    Equal ones are the same caller, whatever it called with this time.

    name: unique in its kind; what audit and log show, and resume tokens are bound to.
    kind: by what it was told.
    role: the name of its role in the policy; empty where its credentials have none.
    expires_s: until when this holds, in seconds since the Unix epoch; None: without an end.
    credential: what it showed, by a name that is no secret: a token's id, a key's or certificate's hash.
    """

    name: str
    kind: Literal["anonymous", "token", "certificate", "jwt"]
    role: str = field(compare=False)
    expires_s: float | None = field(default=None, compare=False)
    credential: str = field(default="", compare=False)

    @property
    def has_expired(self) -> bool:
        return self.expires_s is not None and self.expires_s <= time.time()


ANONYMOUS = Principal("anonymous", "anonymous", "unrestricted")
"""Everyone, where no identity is asked for."""
