"""Who calls, and what they may have: identity and policy."""

from argus_grpc.access.principal import ANONYMOUS, Principal
from argus_grpc.access.role import NOTHING, UNRESTRICTED, Role, RoleLimits

__all__ = ["ANONYMOUS", "NOTHING", "UNRESTRICTED", "Principal", "Role", "RoleLimits"]
