"""Who took what out, who put what in, and who was refused: one line each, in a file that only grows."""

from argus_grpc.audit.log import AuditLog
from argus_grpc.audit.record import is_audited, to_record

__all__ = ["AuditLog", "is_audited", "to_record"]
