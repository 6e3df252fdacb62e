"""Who calls, and what they may have: identity and policy."""

from argus_grpc.access.principal import ANONYMOUS, Principal
from argus_grpc.access.role import UNRESTRICTED, Role, RoleLimits

__all__ = ["ANONYMOUS", "UNRESTRICTED", "Principal", "Role", "RoleLimits"]
