"""Who calls, by what a call brings with it, and in what role."""

from collections.abc import Mapping, Sequence
from typing import Any

from argus_grpc.access.principal import ANONYMOUS, Principal
from argus_grpc.access.role import UNRESTRICTED, Role

Metadata = Sequence[tuple[str, str | bytes]]
AuthContext = Mapping[str, Any]
"""Of bytes by name, as gRPC has it, though its types say otherwise."""


class Authenticator:
    """Knows callers by their tokens and certificates, and the roles they have now."""

    def authenticate(self, metadata: Metadata, auth_context: AuthContext) -> Principal:  # noqa: ARG002
        """Who calls.

        Raises NotAuthenticated.
        """
        return ANONYMOUS

    def role_of(self, principal: Principal) -> Role:  # noqa: ARG002
        """What a principal may do.

        Raises NotPermitted where it has no role.
        """
        return UNRESTRICTED

    def still(self, principal: Principal) -> Role | None:
        """The role that a principal has now; None if it is no longer good."""
        return self.role_of(principal)
